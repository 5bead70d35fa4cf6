"""Tokens found good a moment ago, by digest, so that a reconnect costs a look into a table."""

from collections import OrderedDict
from hashlib import sha256
from typing import Final

from wsauth.core.identity import Identity

__all__ = ["CAPACITY", "LIFETIME", "VerifiedTokens"]

CAPACITY: Final = 10_000
LIFETIME: Final = 300.0
"""Seconds for which a verdict is kept, at most."""


class VerifiedTokens:
    """Hold what good tokens said, by their SHA-256; the least recently used goes first.

    Revocation is not looked at here: whoever asks looks there on every hit.
    """

    __slots__ = ("_capacity", "_entries")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str, now: float) -> Identity | None:
        """Return what the token said, while that holds."""
        digest = _digest(token)
        entry = self._entries.get(digest)
        if entry is None:
            return None
        if now >= entry[1]:
            del self._entries[digest]
            return None
        self._entries.move_to_end(digest)
        return entry[0]

    def put(self, token: str, identity: Identity, until: float) -> None:
        """Keep what the token said until that time (seconds since the epoch), at most."""
        self._entries[_digest(token)] = (identity, until)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything: a key was taken away."""
        self._entries.clear()


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
