"""fastgw: an API gateway with a native hot path that speaks APISIX's objects and Admin API."""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
