"""Peer haproxy-plain."""
