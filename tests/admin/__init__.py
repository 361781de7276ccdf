"""Tests of the Admin API against a real admin process."""
