"""Peer haproxy-jwt."""
