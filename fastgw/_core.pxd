# Shapes of the native core, in the order in which _core.pyx includes the bodies.
include "native/externs.pxd"
include "native/llhttp.pxd"
include "native/head.pxd"
include "native/sha2.pxd"
include "native/b64url.pxd"
include "native/json_text.pxd"
include "native/json.pxd"
include "native/jwt.pxd"
