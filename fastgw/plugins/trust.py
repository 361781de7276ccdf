"""Whether the place that code is loaded from can be changed by others.

Owns the rule, which is sshd's for authorized_keys: what another user may write to, or owns, is not trusted. Must not know what
lies there.
"""

import os
import stat
from pathlib import Path

__all__ = ["distrust", "distrust_of"]

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def distrust(path: Path) -> str | None:
    """Why a file or directory, or the way to it, is not to be trusted. OSError: it is not there.

    What holds it must be as safe as it is itself. Further up a group may write: that is how homes are made on some systems.
    """
    real = path.resolve(strict=True)
    for each, mask in ((real, _OTHERS), (real.parent, _OTHERS), *((above, stat.S_IWOTH) for above in real.parents[1:])):
        state = each.stat()
        if each != real and state.st_mode & stat.S_ISVTX:
            mask = 0  # nobody can move there what is not theirs
        if (why := distrust_of(state, mask)) is not None:
            return f"{each}: {why}"
    return None


def distrust_of(state: os.stat_result, mask: int = _OTHERS) -> str | None:
    """As above, of this alone."""
    if state.st_uid not in (0, os.geteuid()):
        return f"owned by user {state.st_uid}; expected the user who runs the gateway, or root"
    if state.st_mode & mask:
        return f"others may write to it (mode {stat.S_IMODE(state.st_mode):04o}); expected none, chmod go-w"
    return None
