"""Plugins from outside: a real gateway, real sockets, and an upstream that shows what reached it."""
