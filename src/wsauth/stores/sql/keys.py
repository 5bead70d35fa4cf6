"""The signing keys' statements."""

from collections.abc import Sequence
from typing import Final

import msgspec

from wsauth.interfaces.keys import StoredKey
from wsauth.stores.sql.engine import Engine, Transaction
from wsauth.stores.sql.feed import change

__all__ = ["SQLKeys"]

_ALL: Final = "SELECT key_id, algorithm, created_at, signs_from, wrapped FROM keys ORDER BY created_at, key_id"
_ADD: Final = """
    INSERT INTO keys (key_id, algorithm, created_at, signs_from, wrapped)
    VALUES (:key_id, :algorithm, :created_at, :signs_from, :wrapped) ON CONFLICT (key_id) DO NOTHING
"""
_ADD_FIRST: Final = """
    INSERT INTO keys (key_id, algorithm, created_at, signs_from, wrapped)
    SELECT :key_id, :algorithm, :created_at, :signs_from, :wrapped
    WHERE NOT EXISTS (SELECT 1 FROM keys WHERE algorithm = :algorithm)
    ON CONFLICT (key_id) DO NOTHING
"""
_REMOVE: Final = "DELETE FROM keys WHERE key_id = :key_id"
_FINGERPRINT: Final = "key_file"
_KEEP: Final = "INSERT INTO facts (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING"
_FACT: Final = "SELECT value FROM facts WHERE name = :name"


class SQLKeys:
    """Keep signing keys."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def all(self) -> Sequence[StoredKey]:
        """Return every key, the oldest first."""
        records = await self._engine.read(lambda transaction: transaction.all(_ALL))
        return [
            StoredKey(
                key_id=key_id,
                algorithm=algorithm,
                created_at=created_at,
                signs_from=signs_from,
                wrapped=bytes(wrapped),
            )
            for key_id, algorithm, created_at, signs_from, wrapped in records
        ]

    async def add(self, key: StoredKey, *, only_if_none: bool = False) -> bool:
        """Add a key; with `only_if_none` only where there is none of its algorithm. Tells whether it was added."""
        return await change(self._engine, "keys", _ADD_FIRST if only_if_none else _ADD, msgspec.structs.asdict(key))

    async def remove(self, key_id: str) -> bool:
        """Remove a key at once; tells whether there was one."""
        return await change(self._engine, "keys", _REMOVE, {"key_id": key_id})

    async def fingerprint(self, of_key_file: str) -> str:
        """Return the fingerprint of the key file that the store was made with; at first, keep this one."""
        values = {"name": _FINGERPRINT, "value": of_key_file}

        def work(transaction: Transaction) -> str:
            transaction.run(_KEEP, values)
            record = transaction.one(_FACT, values)
            return of_key_file if record is None else str(record[0])

        return await self._engine.write(work)
