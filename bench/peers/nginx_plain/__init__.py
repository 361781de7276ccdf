"""Peer nginx-plain."""
