"""Rules over several members of an object, as `Schema.rules` yields them.

Owns their wording, ours and APISIX's. Must not know any one object.
"""

from collections.abc import Collection, Iterator

from fastgw.errors import Fault, Path

__all__ = ["any_of", "at_most_one", "broken", "exactly_one", "required", "unsupported"]


def exactly_one(present: Collection[str], *names: str) -> Iterator[Fault]:
    """One of the names must be there, and no other of them."""
    given = tuple(name for name in names if name in present)
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        yield Fault(Path(), f"expected one of {', '.join(names)}, found {found}", "one_of", names, given)


def at_most_one(present: Collection[str], *names: str) -> Iterator[Fault]:
    """Not more than one of the names may be there."""
    given = tuple(name for name in names if name in present)
    if len(given) > 1:
        message = f"expected only one of {', '.join(names)}, found {' and '.join(given)}"
        apisix = f"only one of {' or '.join(names)} is allowed"
        yield Fault(Path(), message, "at_most_one", names, given, apisix)


def any_of(present: Collection[str], *names: str) -> Iterator[Fault]:
    """At least one of the names must be there."""
    if not any(name in present for name in names):
        message = f"expected at least one of {', '.join(names)}, found none"
        yield Fault(Path(), message, "any_of", names)


def required(present: Collection[str], name: str, why: str, apisix: str = "") -> Iterator[Fault]:
    """The name must be there because of another member's value."""
    if name not in present:
        yield Fault(Path((name,)), f"missing; {why}", "required", apisix=apisix)


def broken(name: str, message: str, apisix: str = "") -> Fault:
    """A value that is wrong beside the others."""
    return Fault(Path((name,)), message, "rule", apisix=apisix)


def unsupported(present: Collection[str], **reasons: str) -> Iterator[Fault]:
    """Members of APISIX that this gateway refuses rather than ignores, each with what to do instead."""
    for name, reason in reasons.items():
        if name in present:
            yield Fault(Path((name,)), f"not supported; {reason}", "unsupported")
