"""Peer aiohttp."""
