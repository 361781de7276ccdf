"""Peers envoy-jwt and envoy-jwt-cached."""
