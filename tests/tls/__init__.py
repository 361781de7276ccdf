"""TLS from outside: listeners with Python's ssl and openssl, upstreams that speak it."""
