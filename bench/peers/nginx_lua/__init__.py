"""Peer nginx-lua."""
