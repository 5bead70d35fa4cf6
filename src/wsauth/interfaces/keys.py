"""Remembering our own signing keys."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

__all__ = ["KeyStore", "StoredKey"]


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """Be a signing key. Times in seconds since the epoch.

    Attributes:
        key_id: its `kid`.
        algorithm: the one that it is bound to.
        created_at: since when it is published.
        signs_from: since when it signs, until a newer one does.
        wrapped: the private JWK, which only the key file opens; never shown.
    """

    key_id: str
    algorithm: str
    created_at: float
    signs_from: float
    wrapped: bytes

    def __repr__(self) -> str:
        return f"StoredKey({self.key_id!r}, {self.algorithm!r}, signs_from={self.signs_from!r})"


class KeyStore(Protocol):
    """Keep signing keys; each change writes a `keys` row."""

    async def all(self) -> Sequence[StoredKey]:
        """Return every key, the oldest first."""

    async def add(self, key: StoredKey, *, only_if_none: bool = False) -> bool:
        """Add a key; with `only_if_none` only where there is none of its algorithm. Tells whether it was added."""

    async def remove(self, key_id: str) -> bool:
        """Remove a key at once; tells whether there was one."""

    async def fingerprint(self, of_key_file: str) -> str:
        """Return the fingerprint of the key file that the store was made with; at first, keep this one."""
