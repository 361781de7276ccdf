"""Peer caddy-plain."""
