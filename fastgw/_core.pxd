# Shapes of the native core, in the order in which _core.pyx includes the bodies.
include "native/externs.pxd"
include "native/sha2.pxd"
