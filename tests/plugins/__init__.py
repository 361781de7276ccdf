"""Plugins from outside: a real gateway with several workers, real sockets, one module per plugin."""
