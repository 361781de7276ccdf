# cython: language_level=3str, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, embedsignature=False, binding=False
# The root of the one extension. The include list is the table of contents, in dependency order: a room may
# use only the rooms above it, but for the forward calls that down, up and relay make to each other (docs/native.md).
# No logic here.

__version__ = "0.1.0"

# how it was built
include "native/build.pxi"
# bytes and tables
include "native/buf.pxi"
include "native/map.pxi"
include "native/cidr.pxi"
# HTTP
include "native/scan.pxi"
include "native/log_text.pxi"
include "native/method.pxi"
include "native/field.pxi"
include "native/head.pxi"
include "native/uri.pxi"
include "native/framing.pxi"
include "native/chunked.pxi"
# tokens
include "native/sha2.pxi"
include "native/b64url.pxi"
include "native/json_text.pxi"
include "native/json.pxi"
include "native/jwt.pxi"
include "native/jwt_hooks.pxi"
# secrets
include "native/random.pxi"
include "native/secret.pxi"
# shared memory
include "native/cells.pxi"
include "native/limits.pxi"
include "native/holds.pxi"
include "native/shm.pxi"
include "native/metrics.pxi"
include "native/limiter.pxi"
include "native/limits_hooks.pxi"
# the configuration, compiled
include "native/plan.pxi"
include "native/args.pxi"
include "native/index.pxi"
include "native/snapshot.pxi"
include "native/vars.pxi"
include "native/route.pxi"
include "native/route_hooks.pxi"
# one request
include "native/splice.pxi"
include "native/conn.pxi"
include "native/serialise.pxi"
include "native/reply.pxi"
include "native/chain.pxi"
include "native/delay.pxi"
include "native/token_cache.pxi"
include "native/verify.pxi"
include "native/jwt_auth.pxi"
include "native/auth.pxi"
include "native/key_auth.pxi"
include "native/basic_auth.pxi"
include "native/multi_auth.pxi"
include "native/ip_restriction.pxi"
include "native/request_id.pxi"
include "native/token_cache_hooks.pxi"
include "native/limited.pxi"
include "native/limit_count.pxi"
include "native/limit_req.pxi"
include "native/limit_conn.pxi"
include "native/pyrequest.pxi"
include "native/pool.pxi"
include "native/filter.pxi"
include "native/up.pxi"
include "native/relay.pxi"
include "native/gather.pxi"
include "native/accesslog.pxi"
include "native/down.pxi"
# where bytes come from
include "native/io.pxi"
include "native/reactor.pxi"
include "native/wire.pxi"
include "native/watch.pxi"
include "native/bench_hooks.pxi"
