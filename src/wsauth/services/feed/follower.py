"""Follow the feed: take in its rows, close what they concern, and say what came of it."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from threading import get_ident
from typing import Any, Final, Literal

import msgspec

from wsauth.core import events
from wsauth.core.feed import Row, RowKind
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.protocol.states import State
from wsauth.errors import Refused
from wsauth.interfaces.feed import Answer, Feed, FeedReader, Listed, Node, Seen
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.connections import ANSWER_TIMEOUT, Closing, Connections
from wsauth.services.feed.orders import stamp

__all__ = ["FEED_TIMEOUT", "Follower", "new_node"]

_log = logging.getLogger("wsauth")

FEED_TIMEOUT: Final = 5.0
_BEAT: Final = 1.0
_MINUTE: Final = 60
_PATIENCE: Final = 5.0
"""Seconds for which a beat may wait for the store."""
_ABORTED: Final = 10.0
"""Seconds after which every closing connection is gone, with or without its peer's help."""
_START_TIMEOUT: Final = 10.0

_decode_pair: Final = msgspec.json.Decoder(tuple[str, str]).decode

Subscriber = Callable[[Sequence[Row]], None]
Work = Callable[[], Awaitable[None]]


class Follower:
    """Keep one process true to the feed.

    Args:
        feed: is written and asked.
        reader: reads it.
        connections: of this process.
        node: the id of this process.
        timeout: seconds without a read after which nothing is granted any more; `inf` where there is nothing to lose.
        on_loss: then also `close` the open connections, or `refuse` only.

    Attributes:
        ready: all live rows were taken in.
        alarm: what happened to the feed that must not happen; empty while nothing did.
    """

    def __init__(
        self,
        feed: Feed,
        reader: FeedReader,
        connections: Connections,
        *,
        node: str = "",
        timeout: float = FEED_TIMEOUT,
        on_loss: Literal["refuse", "close"] = "refuse",
    ) -> None:
        self.node = node or new_node(connections.clock.now())
        self.ready = False
        self.alarm = ""
        self._feed = feed
        self._reader = reader
        self._connections = connections
        self._timeout = timeout
        self._on_loss = on_loss
        self._lost = False
        self._subscribers: list[Subscriber] = []
        self._seconds: list[Work] = [self._reread]
        self._loads: dict[RowKind, Work] = {}
        self._changed: set[RowKind] = set()
        self._minutes: list[Work] = [self._prune]
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._loaded: asyncio.Event | None = None
        self._heard = 0
        connections.hearing_timeout = timeout

    # Life.

    def listen(self) -> None:
        """Begin reading, where nothing has to be waited for (a feed in memory)."""
        self._thread = get_ident()
        self.ready = True
        self._reader.start(self.apply, self._connections.clock.now)

    async def start(self) -> None:
        """Say that this process lives, read all live rows, and go on.

        Raises:
            Refused: `unavailable`: the feed cannot be read.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._loaded = asyncio.Event()
        self._heard = await self._feed.newest()
        await self._beat()
        self._reader.start(self._tell, self._connections.clock.now)
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await self._loaded.wait()
        except TimeoutError:
            raise Refused("unavailable", "the feed of revocations could not be read") from None
        self.spawn(self._live())

    async def aclose(self) -> None:
        """Stop reading and say goodbye."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._loop is None:
            self._reader.stop()
            return
        await asyncio.to_thread(self._reader.stop)
        try:
            await self._feed.goodbye(self.node)
        except Refused as error:
            _log.warning("goodbye could not be said: %s", error.reason)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have a function called with every batch of rows, after revocations and before anything is closed."""
        self._subscribers.append(subscriber)

    def every_second(self, work: Work) -> None:
        """Have something done once a second, while the feed is heard."""
        self._seconds.append(work)

    def every_minute(self, work: Work) -> None:
        """Have something done once a minute, while the feed is heard."""
        self._minutes.append(work)

    def reread(self, kind: RowKind, load: Work) -> None:
        """Have what the store keeps read anew when rows of this kind say that it has changed.

        Where that fails, it is tried again a second later.
        """
        self._loads[kind] = load

    @property
    def lost(self) -> bool:
        """Tell whether the feed was not read for too long."""
        return self._connections.deaf

    # Taking in.

    def _tell(self, seen: Seen) -> None:
        """Take what the reader's thread has found to the loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.apply, seen)

    def apply(self, seen: Seen) -> None:
        """Take in what one read found: in one step all of it counts, and what it concerns is closing."""
        connections = self._connections
        now = connections.clock.now()
        if seen.alarm:
            self.alarm = seen.alarm
            _log.error("the feed of revocations: %s", seen.alarm)
            self._heard = seen.rows[-1].seq if seen.rows else 0  # the numbers begin anew: these are nobody's new orders
        for row in seen.rows:
            try:
                connections.revocations.apply(row, now)
            except Exception:  # noqa: BLE001  one row that cannot be read must not hide those that came with it
                self.alarm = f"row {row.seq} cannot be read"
                _log.exception("the feed of revocations: row %d cannot be read", row.seq)
        for subscriber in self._subscribers:
            subscriber(seen.rows)
        if seen.rows:
            self._carry_out(seen.rows)
            self._changed |= self._loads.keys() & {row.kind for row in seen.rows}
            if self._changed:
                self.spawn(self._reread())
        connections.heard_at = max(connections.heard_at, seen.read_at)
        if self._lost and not self.lost:
            self._lost = False
            _log.warning("the feed of revocations is read again")
        if self._loaded is not None and not self.ready:
            self.ready = True
            self._loaded.set()

    def _carry_out(self, rows: Sequence[Row]) -> None:
        """Close what the rows concern; each connection counts for one order. Orders are given once: by new rows."""
        by_order: dict[str | None, dict[Connection, Refused]] = {}
        written: dict[Connection, float] = {}
        lists = []
        for row in rows:
            new = row.seq > self._heard
            if row.kind in ("list", "disconnect") and not new:
                continue
            if row.kind == "list":
                lists.append(row)
                continue
            found = by_order.setdefault(row.order if new else None, {})
            for connection, error in self._concerned_or_none(row).items():
                if connection.machine.state not in (State.CLOSING, State.CLOSED):
                    found.setdefault(connection, error)
                    written.setdefault(connection, row.at)
        taken: set[Connection] = set()
        # Rows that belong to no order come last: what an order closes is in its report, whatever came in the same read.
        for order, concerned in sorted(by_order.items(), key=lambda item: item[0] is None):
            errors = {connection: error for connection, error in concerned.items() if connection not in taken}
            taken.update(errors)
            if errors or order is not None:
                closing = Closing(list(errors), errors.__getitem__, partial(self._enforced, written))
                if order is not None:
                    self.spawn(self._answer(order, closing))
        for row in lists:
            if row.order is not None:
                self.spawn(self._list(row.order, row.value))
        self._heard = max(self._heard, rows[-1].seq)

    def _enforced(self, written: Mapping[Connection, float], connection: Connection) -> None:
        now = self._connections.clock.now()
        self._connections.bus.publish(events.Enforced(at=now, seconds=max(0.0, now - written[connection])))

    def _concerned_or_none(self, row: Row) -> dict[Connection, Refused]:
        try:
            return self._concerned(row)
        except Exception:  # noqa: BLE001  as in `apply`
            _log.exception("the feed of revocations: row %d cannot be carried out", row.seq)
            return {}

    def _concerned(self, row: Row) -> dict[Connection, Refused]:
        connections = self._connections
        if row.kind == "session":
            return connections.dead(connections.find(session_id=row.key))
        if row.kind == "user":
            issuer, subject = row.value.get("issuer", OWN_ISSUER), row.value.get("subject", row.key)
            found = connections.find(issuer=issuer, subject=subject)
            dead = connections.dead(found)
            for connection in found.difference(dead):
                self._change_rights(connection)
            return dead
        if row.kind in ("token", "subject"):
            issuer, name = _decode_pair(row.key)
            named = {"token_id": name} if row.kind == "token" else {"subject": name}
            return connections.dead(connections.find(issuer=issuer, **named))
        if row.kind == "all":
            return connections.dead(connections.all())
        if row.kind == "disconnect":
            return self._disconnected(row)
        return {}

    def _change_rights(self, connection: Connection) -> None:
        identity = self._connections.revocations.overlay(connection.identity)
        if identity is connection.identity:
            return
        try:
            connection.rights_changed(identity)
        except Exception:  # noqa: BLE001  one connection's fault must not keep others open that rows have ended
            _log.exception("a connection could not be told of its rights")

    def _disconnected(self, row: Row) -> dict[Connection, Refused]:
        value, connections = row.value, self._connections
        if "connection_id" in value:
            one = connections.get(value["connection_id"])
            found = set() if one is None else {one}
        else:
            named = {name: value[name] for name in ("subject", "issuer", "session_id") if name in value}
            found = connections.find(**named)
        error = Refused("disconnected", "disconnected by an administrator", retry_after=value.get("retry_after"))
        return dict.fromkeys(found, error)

    # Orders.

    async def _answer(self, order: str, closing: Closing) -> None:
        await closing.wait(ANSWER_TIMEOUT - 0.1)
        answer = closing.answer(self.node)
        await self._feed.answer(order, answer)
        if not answer.complete:
            await closing.wait(_ABORTED)
            await self._feed.answer(order, closing.answer(self.node))

    async def _list(self, order: str, value: dict[str, Any]) -> None:
        connections = self._connections
        if "issuer" in value:
            found: Iterable[Connection] = connections.find(subject=value["subject"], issuer=value["issuer"])
        elif "subject" in value:
            found = connections.one_of_each_issuer(value["subject"])
        else:
            found = connections.all()
        after, limit = value.get("after", ""), value["limit"]
        behind = sorted((c for c in found if c.id > after and _is_open(c)), key=lambda c: c.id)
        listed = [_listed(connection, self.node) for connection in behind[:limit]]
        await self._feed.answer(order, Answer(node=self.node, matched=len(behind), listed=listed))

    # Beating.

    async def _live(self) -> None:
        """Beat once a second, and do what is to be done; a store that is away for a moment ends nothing."""
        beats = 0
        while True:
            await asyncio.sleep(_BEAT)
            beats += 1
            if self.lost and not self._lost:
                self._lose()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._beat()
                # Who hears nothing still lives, and is counted as silent; but nothing else is done.
                if self.lost:
                    continue
                for work in [*self._seconds, *(self._minutes if beats % _MINUTE == 1 else ())]:
                    await work()
            except Refused as error:
                _log.warning("the store could not be used: %s", error.reason)
            except TimeoutError:
                _log.warning("the store has not answered for %.0f s", _PATIENCE)
            except Exception:  # noqa: BLE001  a process that beats no more would count as gone while it serves
                _log.exception("what is done every second failed")

    async def _reread(self) -> None:
        while self._changed:
            kind = self._changed.pop()
            try:
                await self._loads[kind]()
            except BaseException:
                self._changed.add(kind)
                raise

    async def _prune(self) -> None:
        await self._feed.prune(self._connections.clock.now())

    def _lose(self) -> None:
        self._lost = True
        _log.error("the feed of revocations was not read for %.0f s: nothing is granted until it is", self._timeout)
        if self._on_loss == "close":
            error = Refused("unavailable", "the feed of revocations was lost", mend="on_feed_loss", retry_after=1)
            Closing(self._connections.all(), lambda _: error)

    async def _beat(self) -> None:
        connections = self._connections
        await self._feed.beat(Node(id=self.node, beat_at=connections.clock.now(), connections=len(connections)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background; that the store cannot be reached is no news to it."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # what is cancelled before it began was never awaited

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Refused as error:
            _log.warning("an answer could not be given: %s", error.reason)


def _is_open(connection: Connection) -> bool:
    return connection.machine.opened and connection.machine.state not in (State.CLOSING, State.CLOSED)


def _listed(connection: Connection, node: str) -> Listed:
    identity, about = connection.identity, connection.machine.about
    return Listed(
        id=connection.id,
        node=node,
        issuer=identity.issuer,
        subject=identity.subject,
        session_id=identity.session_id,
        path=about.path,
        address=about.address,
        opened_at=connection.machine.opened_at,
        expires_at=connection.expires_at,
    )


def new_node(now: float) -> str:
    """Return an id for a process that begins now; later ones sort behind it."""
    return f"{stamp(now)}{secrets.token_hex(8)}"
