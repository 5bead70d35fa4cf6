"""Read a feed as a process does, and wait for what it tells."""

import asyncio
import time
from collections.abc import Callable

from wsauth.core.feed import Row
from wsauth.interfaces.feed import Seen
from wsauth.interfaces.store import Store

__all__ = ["Reading", "eventually", "rows_of"]

PATIENCE = 20.0


class Reading:
    """Keep what a reader tells."""

    def __init__(self, store: Store) -> None:
        self.seen: list[Seen] = []
        self._store = store

    def __enter__(self) -> "Reading":
        self._store.reader.start(self.seen.append, time.time)
        return self

    def __exit__(self, *exception: object) -> None:
        self._store.reader.stop()

    @property
    def rows(self) -> list[Row]:
        """Return all rows so far, in the order in which they were told."""
        return [row for seen in list(self.seen) for row in seen.rows]

    def has_read_since(self, moment: float) -> bool:
        """Tell whether a read that began after a moment was told."""
        return bool(self.seen) and self.seen[-1].read_at > moment

    @property
    def alarms(self) -> list[str]:
        """Return all alarms so far."""
        return [seen.alarm for seen in list(self.seen) if seen.alarm]


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  what a thread or a process does sets no event of this loop
            await asyncio.sleep(0.005)


async def rows_of(store: Store) -> list[Row]:
    """Return all live rows of the feed."""
    with Reading(store) as reading:
        await eventually(lambda: reading.seen)
    return reading.rows
