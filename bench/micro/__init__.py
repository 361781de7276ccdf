"""Micro benches, one file per native room, each with its naive rivals.

`python -m bench micro` gives a table; `python -m pytest bench/micro` has pytest-benchmark's own options.
"""
