"""The statements of blocks."""

from collections.abc import Sequence
from typing import Final

import msgspec

from wsauth.core.blocks import Block
from wsauth.stores.sql.engine import Engine
from wsauth.stores.sql.feed import change

__all__ = ["SQLBlocks"]

_ALL: Final = """
    SELECT network, until, automatic, reason, created_at FROM blocks
    WHERE until IS NULL OR until > :now ORDER BY network
"""
_ADD: Final = """
    INSERT INTO blocks (network, until, automatic, reason, created_at)
    VALUES (:network, :until, :automatic, :reason, :created_at)
    ON CONFLICT (network) DO UPDATE SET until = excluded.until, automatic = excluded.automatic,
        reason = excluded.reason, created_at = excluded.created_at
    WHERE excluded.automatic = 0 OR blocks.automatic = 1 OR blocks.until <= excluded.created_at
"""
_REMOVE: Final = "DELETE FROM blocks WHERE network = :network"
_PRUNE: Final = "DELETE FROM blocks WHERE until <= :now"


class SQLBlocks:
    """Keep blocks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def all(self, now: float) -> Sequence[Block]:
        """Return those that are in force, in the order of their networks."""
        records = await self._engine.read(lambda transaction: transaction.all(_ALL, {"now": now}))
        return [
            Block(network=network, until=until, automatic=bool(automatic), reason=reason, created_at=created_at)
            for network, until, automatic, reason, created_at in records
        ]

    async def add(self, block: Block) -> bool:
        """Add one in place of another of its network, an automatic one in no other's; tells whether it was added."""
        return await change(
            self._engine, "blocks", _ADD, {**msgspec.structs.asdict(block), "automatic": int(block.automatic)}
        )

    async def remove(self, network: str) -> bool:
        """Remove one; tells whether there was one."""
        return await change(self._engine, "blocks", _REMOVE, {"network": network})

    async def prune(self, now: float) -> None:
        """Forget those that are over."""
        await self._engine.write(lambda transaction: transaction.run(_PRUNE, {"now": now}))
