"""The bench: the gateway beside its peers, in CPU microseconds per request (method: docs/performance.md).

Stands outside the package: nothing in fastgw imports it, and it knows fastgw only as a command line
and a configuration file, exactly as it knows the other peers.
"""
