"""Where a route stands in the core's index: a plan, a host and a path pattern for each place.

Owns: which of a route's paths need a plan of their own, because they have wildcards within; what the router's mode means for the
index. Must not know: where a route's hosts and paths come from, what its plan does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from fastgw import _core
from fastgw.plugins.check import pattern_of
from fastgw.schema.settings import Router

__all__ = ["Entry", "entries_of", "first_edit", "path_forms", "told_entries"]

TOLD_APART: Final = 16  # places of a route that take a plan each, so that metrics can tell by which one a request came

Entry = tuple[_core.Plan, bytes, bytes]
"""A plan, and a host and a path pattern that it takes."""


def first_edit(router: Router) -> _core.Edit:
    """The first snapshot in the making."""
    edit = _core.Edit(path_first=router.http != "radixtree_host_uri", paths=path_forms(router))
    edit.set_globals(_core.Steps([]))
    return edit


def path_forms(router: Router) -> list[str]:
    """What is done to paths beyond the normal form, by its settings' names."""
    return [name for name in ("normalize_uri_like_servlet", "delete_uri_tail_slash") if getattr(router, name)]


def entries_of(
    plan: Callable[[_core.Pattern | None], _core.Plan], places: Iterable[tuple[str, str]], router: Router
) -> Iterator[Entry]:
    """The entries of a route by its places, hosts (empty: any) and paths; `plan` makes its plan for a path."""
    params = router.http == "radixtree_uri_with_parameter"
    made: dict[str, tuple[_core.Plan, bytes]] = {}
    common: _core.Plan | None = None
    for host, uri in places:
        if uri not in made:
            text = pattern_of(uri)
            if within(text, params):
                own = plan(_core.Pattern(text, params))
            else:
                own = common = common or plan(None)
            made[uri] = own, text
        yield made[uri][0], host.lower().encode(), made[uri][1]


def told_entries(plan: Callable[..., _core.Plan], places: Sequence[tuple[str, str]], router: Router) -> Iterator[Entry]:
    """The same, of plans that know by which host and path they take requests; `plan` makes one by members of Plan."""
    if len(places) > TOLD_APART:
        yield from entries_of(lambda pattern: plan(pattern=pattern), places, router)
        return
    for host, uri in places:
        own = partial(plan, matched_host=host.encode(), matched_uri=uri.encode())
        yield from entries_of(lambda pattern, own=own: own(pattern=pattern), [(host, uri)], router)  # type: ignore[misc]


def within(text: bytes, params: bool) -> bool:
    """Whether a pattern has more than a `*` behind what is no segment of its own: something to compare, or to be asked for."""
    return b"*" in text[:-1] or text.endswith(b"/*") or (params and b"/:" in text)
