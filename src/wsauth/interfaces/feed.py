"""The feed of everything that all processes must know, who they are, and what they answered."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from wsauth.core.feed import NewRow, Row

__all__ = ["Answer", "Feed", "FeedReader", "Listed", "Node", "Seen"]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Be an open connection as others may see it. Times in seconds since the epoch.

    Attributes:
        id: its handle; it opens nothing.
        node: the process that holds it.
        issuer, subject: whose it is; empty for nobody.
        session_id: of which login.
        path: where it connected to.
        address: from where.
        opened_at: since when.
        expires_at: when its lease ends; `None` for never.
    """

    id: str
    node: str
    issuer: str
    subject: str
    session_id: str | None
    path: str
    address: str
    opened_at: float
    expires_at: float | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one process did for an order.

    Attributes:
        node: which process.
        matched: connections that it concerned there.
        closed: those whose close frame was handed to the kernel.
        cut: those whose transport was cut.
        slowest: seconds until the last of them.
        complete: whether all of them are closed or cut.
        listed: open connections, to a `list` row, in the order of their ids.
    """

    node: str
    matched: int = 0
    closed: int = 0
    cut: int = 0
    slowest: float = 0.0
    complete: bool = True
    listed: Sequence[Listed] = ()


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Be a process that reads the feed.

    Attributes:
        id: random.
        beat_at: when it last said that it lives, in seconds since the epoch.
        connections: how many it holds.
    """

    id: str
    beat_at: float
    connections: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one read of the feed found.

    Attributes:
        rows: those that are new to the process.
        read_at: when the read began, in seconds since the epoch.
        alarm: something that must not happen did: the file was replaced, or numbers went back; else empty.
    """

    rows: Sequence[Row]
    read_at: float
    alarm: str = ""


class Feed(Protocol):
    """Write the feed and ask about it."""

    async def publish(self, rows: Sequence[NewRow]) -> None:
        """Write rows in one transaction."""

    async def revoke_all(self, until: float, keep_until: float, order: str) -> None:
        """End every session, move every user to a new epoch, and write the `all` row, whose number is that epoch."""

    async def beat(self, node: Node) -> None:
        """Say that a process lives."""

    async def newest(self) -> int:
        """Return the number of the newest row; 0 where there is none."""

    async def goodbye(self, node_id: str) -> None:
        """Say that a process is gone, and forget what it held."""

    async def nodes(self, since: float) -> Sequence[Node]:
        """Return the processes that have beaten since then, and those that are known to be there but suspended."""

    async def answer(self, order: str, answer: Answer) -> None:
        """Write, or write again, what a process did for an order."""

    async def answers(self, order: str) -> Sequence[Answer] | None:
        """Return what processes did for an order; `None` when the feed has no such order."""

    async def prune(self, now: float) -> None:
        """Forget rows that need not be kept, answers of such orders, used tickets that have expired, and processes
        that have been silent for an hour."""


class FeedReader(Protocol):
    """Read the feed in a thread of its own, on a connection that never writes."""

    def start(self, tell: Callable[[Seen], None], now: Callable[[], float]) -> None:
        """Read all live rows, then go on; `tell` is called in that thread with what each read found.

        It is called after every read, at least four times a second while reading works, with or without rows.
        """

    def poke(self) -> None:
        """Read at once: this process has just written."""

    def stop(self) -> None:
        """Stop reading, and wait for the thread."""
