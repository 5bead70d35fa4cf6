"""A set of keys, and which of them a token means: a look into a table, never a trial (RFC 8725 §3.10)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from wsauth.core.tokens.keys import KeyRefused, KeyUnfit, VerifyingKey, from_jwk

__all__ = ["KeySet", "from_jwks"]

_MAX_KEYS: Final = 200


class KeySet:
    """Hold keys and find the one that a token names.

    A token with a `kid` gets the key of that id or, where the set has none of that id, the only key without
    an id that can do the algorithm (a secret or a PEM key). A token without one gets the only key that can
    do it. Two keys that would both do mean that neither does.
    """

    __slots__ = ("_by_id", "_ids", "_only", "_unnamed", "keys", "prints")

    def __init__(self, keys: Iterable[VerifyingKey] = ()) -> None:
        self.keys = tuple({key.print: key for key in keys}.values())
        self.prints = frozenset(key.print for key in self.keys)
        self._ids = frozenset(key.key_id for key in self.keys if key.key_id is not None)
        self._by_id = _table(((key.key_id, name), key) for key in self.keys for name in key.algorithms)
        self._only = _table(((None, name), key) for key in self.keys for name in key.algorithms)
        self._unnamed = _table(
            ((None, name), key) for key in self.keys if key.key_id is None for name in key.algorithms
        )

    def __bool__(self) -> bool:
        return bool(self.keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self.keys)!r})"

    def knows(self, key_id: str | None) -> bool:
        """Tell whether looking for a newer set would be of no use."""
        return key_id in self._ids if self._ids and key_id is not None else bool(self.keys)

    def choose(self, algorithm: str, key_id: str | None) -> VerifyingKey | None:
        """Return the one key that `algorithm` and `key_id` name, or `None`."""
        if key_id is None:
            return self._only.get((None, algorithm))
        if key_id in self._ids:
            return self._by_id.get((key_id, algorithm))
        return self._unnamed.get((None, algorithm))


def from_jwks(document: Mapping[str, object], allowed: Collection[str], *, remote: bool) -> tuple[KeySet, list[str]]:
    """Return the usable keys of a JWK set (RFC 7517 §5), and a line for each other one that says why not.

    Raises:
        KeyRefused: it is not a JWK set; or it is our own (not `remote`) and has a broken or weak key.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise KeyRefused(f'it is not a key set: {{"keys": [at most {_MAX_KEYS} keys]}}')
    keys, remarks = [], []
    for number, jwk in enumerate(listed):
        try:
            keys.append(from_jwk(jwk, allowed, remote=remote))
        except KeyUnfit as error:
            remarks.append(f"key {number} is passed over: {error}")
        except KeyRefused as error:
            if not remote:
                raise KeyRefused(f"key {number}: {error}") from None
            remarks.append(f"key {number} is refused: {error}")
    return KeySet(keys), remarks


def _table(
    entries: Iterable[tuple[tuple[str | None, str], VerifyingKey]],
) -> dict[tuple[str | None, str], VerifyingKey]:
    table: dict[tuple[str | None, str], VerifyingKey] = {}
    twice = set()
    for place, key in entries:
        if place in table:
            twice.add(place)
        table[place] = key
    return {place: key for place, key in table.items() if place not in twice}
