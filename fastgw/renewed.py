"""What becomes of settings at a reload: which are in force from then on, which processes are to be started anew for them, and
which wait for the next start.

Owns: those lists. Must not know processes.
"""

import logging
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fastgw.schema.settings import Settings

__all__ = ["Renewed", "renewed"]

BY_NEW_WORKERS: Final = (
    "limits",
    "access_log",
    "trusted_addresses",
    "request_ids_from",
    "server_tokens",
    "show_upstream_status_in_response_header",
    "tls",
    "router",
    "token_cache",
    "plugins_dir",
)
BY_NEW_ADMIN: Final = ("admin", "limits", "router", "server_tokens", "jwks", "tls", "prometheus", "plugins_dir")
AT_START: Final = {"admin": ("listen", "socket_mode"), "tls": ("listen",), "prometheus": ("enabled", "listen")}

log = logging.getLogger("fastgw.master")


class Renewed(NamedTuple):
    """Settings in force, and who else they are new to than the master."""

    settings: Settings
    workers: bool
    admin: bool


def renewed(old: Settings, new: Settings, source: Path, *, plugins: bool) -> Renewed:
    """Tells the log of settings of the file that wait. plugins: those of users have changed, whatever settings say."""
    for group, names in AT_START.items():
        was, wanted = getattr(old, group), getattr(new, group)
        for name in names:
            if getattr(was, name) != getattr(wanted, name):
                log.warning("%s: %s.%s: changed, takes effect at the next start", source, group, name)
        kept = msgspec.structs.replace(wanted, **{name: getattr(was, name) for name in names})
        new = msgspec.structs.replace(new, **{group: kept})
    changed = {name for name in Settings.__struct_fields__ if getattr(old, name) != getattr(new, name)}
    changed |= {"plugins_dir"} if plugins else set()
    by_new_workers = changed.intersection(BY_NEW_WORKERS)
    for name in sorted(changed.difference(BY_NEW_WORKERS, BY_NEW_ADMIN, ("workers",))):
        log.warning("%s: %s: changed, takes effect at the next start", source, name)
    taken = {name: getattr(new, name) for name in (*by_new_workers, "admin", "jwks", "prometheus", "workers")}
    settings = msgspec.structs.replace(old, **taken)
    return Renewed(settings, bool(by_new_workers), bool(changed.intersection(BY_NEW_ADMIN)))
