"""What tests of the running gateway share: real processes, real sockets, real upstreams.

One noun per file: waiting, programs, processes, gateway, wire, upstreams, httpbin, tokens. Nothing here knows
the inside of fastgw; what a client, an upstream or an operator cannot see, these tests do not use.
"""
