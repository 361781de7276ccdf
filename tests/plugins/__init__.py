"""Plugins from outside: a real gateway with several workers, one module per plugin."""
