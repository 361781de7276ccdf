"""Peer fastapi."""
