"""Peer relay."""
