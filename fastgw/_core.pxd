# Shapes of the native core, in the order in which _core.pyx includes the bodies.
from cpython.object cimport PyObject

include "native/externs.pxd"
include "native/buf.pxd"
include "native/map.pxd"
include "native/head.pxd"
include "native/uri.pxd"
include "native/framing.pxd"
include "native/chunked.pxd"
include "native/sha2.pxd"
include "native/b64url.pxd"
include "native/json_text.pxd"
include "native/json.pxd"
include "native/jwt.pxd"
include "native/random.pxd"
include "native/secret.pxd"
include "native/signing.pxd"
include "native/atomics.pxd"
include "native/metrics.pxd"
include "native/plugin_metrics.pxd"
include "native/overrun.pxd"

cdef struct Exchange
cdef struct Loop
cdef struct Conn
cdef struct Up
cdef struct Verifiers
cdef struct ExprC
cdef struct RemoteC

include "native/cells.pxd"
include "native/limits.pxd"
include "native/shares.pxd"
include "native/holds.pxd"
include "native/addresses.pxd"
include "native/revoked.pxd"
include "native/hot.pxd"
include "native/series.pxd"
include "native/health.pxd"
include "native/shm.pxd"
include "native/token_cache.pxd"
include "native/password.pxd"
include "native/vars.pxd"
include "native/pattern.pxd"
include "native/chash.pxd"
include "native/openssl.pxd"
include "native/tls.pxd"
include "native/plan.pxd"
include "native/expr.pxd"
include "native/index.pxd"
include "native/exchange.pxd"
include "native/verify.pxd"
include "native/remote.pxd"
