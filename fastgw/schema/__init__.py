"""msgspec Structs of everything a user can write, and how plain data becomes one of them; no behaviour."""

from fastgw.schema.decode import faults_of
from fastgw.schema.kinds import KINDS, Kind

__all__ = ["KINDS", "Kind", "faults_of"]
