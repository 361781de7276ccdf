"""Peer fastgw."""
