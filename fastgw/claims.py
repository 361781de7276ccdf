"""Who owns a credential's key. Of several that claim one key the first by id does, whatever order they came in: which of them
a request meant cannot be told, and all workers must agree. When it goes, the next one does.

Owns: the claims, who holds each key, what is said of those that do not. Must not know how credentials are made.
"""

from collections.abc import Iterable, Iterator

from fastgw import _core

__all__ = ["Claims"]

Claim = tuple[str, bytes]
"""The kind of index and the key in it."""
Keys = Iterable[tuple[str, _core.Credential]]


class Claims:
    """The claims of all credentials, and the changes of their holders that the next snapshot has to be told of."""

    def __init__(self) -> None:
        self._claims: dict[Claim, dict[str, _core.Credential]] = {}
        self._holders: dict[Claim, _core.Credential] = {}
        self._touched: dict[Claim, None] = {}
        self._losers: dict[Claim, dict[str, str]] = {}

    def replace(self, id_: str, before: Keys, after: Keys) -> None:
        """What the credential with this id claims, instead of what it claimed until now."""
        for kind, credential in before:
            claim = (kind, credential.key)
            self._claims[claim].pop(id_, None)
            self._touched[claim] = None
        for kind, credential in after:
            claim = (kind, credential.key)
            self._claims.setdefault(claim, {})[id_] = credential
            self._touched[claim] = None

    def settle(self, edit: _core.Edit) -> Iterator[None]:
        """Tells the edit who holds what from now on; yields after each key."""
        while self._touched:
            claim, _ = self._touched.popitem()
            claimants = self._claims[claim]
            first = min(claimants, default=None)
            self._lose(claim, first, claimants)
            holder = None if first is None else claimants[first]
            if holder is None:
                del self._claims[claim]
                if self._holders.pop(claim, None) is not None:
                    edit.drop_credential(*claim)
            elif self._holders.get(claim) is not holder:
                self._holders[claim] = holder
                edit.put_credential(claim[0], holder)
            yield

    def faults(self) -> Iterator[tuple[str, str]]:
        """(id, what is wrong) of every credential that is left out."""
        for losers in self._losers.values():
            yield from losers.items()

    def _lose(self, claim: Claim, first: str | None, claimants: Iterable[str]) -> None:
        text = f"expected a key of its own, found that of credential {first}"
        losers = {id_: text for id_ in claimants if id_ != first}
        if losers:
            self._losers[claim] = losers
        else:
            self._losers.pop(claim, None)
