# cython: language_level=3str, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False, binding=False
# The root of the one extension. The include list is the table of contents, in dependency order: a room may
# use only the rooms above it (docs/native.md). No logic here.

__version__ = "0.1.0"

include "native/sha2.pxi"
include "native/b64url.pxi"
include "native/json_text.pxi"
include "native/json.pxi"
include "native/jwt.pxi"
include "native/jwt_hooks.pxi"
