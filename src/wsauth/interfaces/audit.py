"""What keeps the audit log, and how a change comes into it with the transaction that makes it."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from wsauth.core.audit import Head, Row, Sign
from wsauth.core.events import Event

__all__ = ["AuditStore", "Query", "Recording", "Sink", "pending", "recording"]

Make = Callable[[Any], Event | None]


class Recording:
    """Be a change that is under way.

    Args:
        make: returns the event, given what the transaction returned; `None`: nothing was changed.

    Attributes:
        written: the transaction that made the change has its entry.
    """

    def __init__(self, make: Make) -> None:
        self.make = make
        self.written = False


_pending: ContextVar[Recording | None] = ContextVar("wsauth_recording", default=None)


@contextmanager
def recording(make: Make = lambda _: None) -> Generator[Recording]:
    """Have the first write in this block that changes something take the change's entry along.

    What is published within the block counts as recorded then. Without `make`, blocks within this one write entries.
    """
    outer = _pending.get()
    mine = Recording(make)
    token = _pending.set(mine)
    try:
        yield mine
    finally:
        _pending.reset(token)
        if outer is not None and mine.written:
            outer.written = True


def pending() -> Recording | None:
    """Return the change that is under way here."""
    return _pending.get()


class Query:
    """Say which entries are asked for.

    Args:
        since: seconds since the epoch, included.
        until: the same, not included.
        after: `(at, chain, number)`; only entries behind it.
        limit: how many; `None` for all.
        newest: the last ones of them.
        fields: what the entry has, by name.
    """

    def __init__(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        after: tuple[float, str, int] | None = None,
        limit: int | None = None,
        newest: bool = False,
        fields: dict[str, str] | None = None,
    ) -> None:
        self.since = since
        self.until = until
        self.after = after
        self.limit = limit
        self.newest = newest
        self.fields = fields or {}


class Sink(Protocol):
    """Be where entries are written, by one thread."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write entries to the disk; writing the same again changes nothing.

        Raises:
            Exception: it could not.
        """

    def close(self) -> None:
        """Let go of it."""


class AuditStore(Protocol):
    """Be the audit log of a store. All but `record` block."""

    @property
    def sink(self) -> Sink:
        """Take decisions."""

    def record(self, chain: str, node: str, sign: Sign) -> None:
        """Write the entry of each change into the store, with the change, from now on."""

    def record_to(self, tell: Callable[[Event], None]) -> None:
        """Tell of each change once it is committed, instead."""

    def last(self) -> Head | None:
        """Return the head of what `record` wrote; `None` before the first entry."""

    def keep_head(self, head: Head) -> None:
        """Keep the head of another chain in the store."""

    def heads(self) -> Sequence[Head]:
        """Return all heads that the store keeps."""

    def read(self, query: Query) -> Sequence[Row]:
        """Return entries in the order of their times."""

    def chains(self) -> Sequence[Row]:
        """Return all entries, those of a chain in order of their numbers, chain after chain."""

    def remove_before(self, at: float, sign: Sign) -> None:
        """Remove older entries, and keep of each chain the tag of the last one removed."""
