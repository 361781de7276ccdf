"""Python plugins and the wiring of native ones; see contract.py."""
