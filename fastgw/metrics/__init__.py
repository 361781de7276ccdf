"""What the gateway has counted, as Prometheus reads it: pure, from what the shared memory has and what is told besides.

`text` is the form, `apisix` the names that APISIX has, `own` those that only this gateway has. Must not know: who asks, how the
store is read.
"""
