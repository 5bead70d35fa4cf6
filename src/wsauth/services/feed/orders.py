"""Orders: a revocation or a disconnection is given to all processes, and what they did is reported."""

import asyncio
import logging
from base64 import b32encode
from collections.abc import Awaitable, Callable, Collection, Sequence
from secrets import token_bytes
from typing import Final, Literal

from wsauth.core.feed import NewRow
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.feed import Answer, Feed, FeedReader, Listed
from wsauth.services.connections.connections import ANSWER_TIMEOUT, Nodes, Report

__all__ = ["STAMP", "Orders", "stamp"]

_log = logging.getLogger("wsauth")

_LIVE: Final = 5.0
"""Seconds without a beat after which a process counts as gone."""
_LIST_KEPT: Final = 30.0
_QUICKLY: Final = 1.0
"""Seconds for a question that stands before an order: a process that is silent must not double its time."""
_ISSUERS: Final = 1000
"""Issuers of one subject that are told apart."""
_PAUSES: Final = (0.0, 0.0, 0.0, 0.005, 0.01, 0.02)
"""Seconds between two looks; an order without connections is answered in the loop's next rounds."""

STAMP: Final = 11
"""Characters of an id that are its time."""


def stamp(now: float) -> str:
    """Return a time as the beginning of an id: milliseconds since the epoch, hexadecimal."""
    return f"{int(now * 1000):0{STAMP}x}"


class Orders:
    """Give orders and collect the answers.

    Args:
        feed: carries both.
        reader: of this process, to be poked; `None` where this process follows no feed (a command).
        clock: tells the time.
        node: the id of this process, which answers whatever its beats say; empty where it has none.
        scope: how far orders reach: this `process`, or all that share the `store`.
    """

    def __init__(
        self,
        feed: Feed,
        reader: FeedReader | None,
        clock: Clock,
        *,
        node: str = "",
        scope: Literal["process", "store"] = "store",
    ) -> None:
        self._feed = feed
        self._reader = reader
        self._clock = clock
        self._node = node
        self._scope = scope

    async def give(self, write: Callable[[str], Awaitable[object]]) -> Report:
        """Have an order written to the feed, and report what all processes did, at the latest after two seconds.

        Args:
            write: writes the rows, with the order's id; it raises where it does not.
        """
        order = self._new_order()
        given_at = asyncio.get_running_loop().time()
        await write(order)
        self.poke()
        live = {self._node} if self._node else set()
        answers: Sequence[Answer] = ()
        read = False
        try:
            live = await self._live()
            answers = await self._collect(order, live, given_at + ANSWER_TIMEOUT)
            read = True
        except Refused as error:  # it is given, whatever becomes of the answers: that must not look as if it were not
            _log.warning("what came of order %s cannot be read: %s", order, error.reason)
        return self._report(order, answers, live, read=read)

    async def publish(self, rows: Callable[[str], Sequence[NewRow]]) -> Report:
        """Give an order that is nothing but rows."""
        return await self.give(lambda order: self._feed.publish(rows(order)))

    async def report(self, order: str) -> Report | None:
        """Report what has come of an order until now; `None` when there is none of that id."""
        answers = await self._feed.answers(order)
        if answers is None:
            return None
        # Processes that began later have nothing to answer.
        asked = {node for node in await self._live() if node[:STAMP] <= order[:STAMP]}
        return self._report(order, answers, asked)

    async def list(self, *, after: str = "", limit: int = 100, key: tuple[str, str] | None = None) -> Sequence[Listed]:
        """Return open connections of all processes in the order of their ids, at most `limit` behind `after`.

        Args:
            after: an id.
            limit: how many.
            key: only those of this identity (issuer and subject).
        """
        value: dict[str, object] = {"after": after, "limit": limit}
        if key is not None:
            value |= {"issuer": key[0], "subject": key[1]}
        return await self._ask(value, limit)

    async def issuers_of(self, subject: str) -> set[str]:
        """Return the issuers of the identities of this subject that are connected, in all processes."""
        value: dict[str, object] = {"subject": subject, "limit": _ISSUERS}
        return {one.issuer for one in await self._ask(value, _ISSUERS, within=_QUICKLY)}

    async def _ask(self, value: dict[str, object], limit: int, *, within: float = ANSWER_TIMEOUT) -> Sequence[Listed]:
        keep_until = self._clock.now() + _LIST_KEPT
        order = self._new_order()
        until = asyncio.get_running_loop().time() + within
        await self._feed.publish([NewRow(kind="list", value=value, keep_until=keep_until, order=order)])
        self.poke()
        answers = await self._collect(order, await self._live(), until)
        return sorted((one for answer in answers for one in answer.listed), key=lambda one: one.id)[:limit]

    def poke(self) -> None:
        """Have this process read at once what it has just written."""
        if self._reader is not None:
            self._reader.poke()

    def _new_order(self) -> str:
        return stamp(self._clock.now()) + b32encode(token_bytes(10)).decode().lower()

    async def _live(self) -> set[str]:
        live = {node.id for node in await self._feed.nodes(self._clock.now() - _LIVE)}
        return live | {self._node} if self._node else live

    async def _collect(self, order: str, live: Collection[str], until: float) -> Sequence[Answer]:
        loop = asyncio.get_running_loop()
        pauses = iter(_PAUSES)
        while True:
            answers = await self._feed.answers(order) or ()
            done = {answer.node for answer in answers if answer.complete}
            if done.issuperset(live) or loop.time() >= until:
                return answers
            await asyncio.sleep(min(next(pauses, _PAUSES[-1]), max(0.0, until - loop.time())))

    def _report(self, order: str, answers: Sequence[Answer], live: Collection[str], *, read: bool = True) -> Report:
        answered = {answer.node for answer in answers}
        silent = len(set(live) - answered)
        return Report(
            matched=sum(answer.matched for answer in answers),
            closed=sum(answer.closed for answer in answers),
            cut=sum(answer.cut for answer in answers),
            nodes=Nodes(live=len(answered | set(live)), answered=len(answered), silent=silent),
            slowest=max((answer.slowest for answer in answers), default=0.0),
            complete=read and silent == 0 and all(answer.complete for answer in answers),
            scope=self._scope,
            id=order,
        )
