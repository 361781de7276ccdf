"""Counts that several gateways share by way of a Redis: scripts, and the store that asks it. Must not know requests."""
