"""The data plane between clients and upstreams, from outside."""
