"""All connections of a process: found by identity, session and token, and ended together."""

import asyncio
import logging
import secrets
from base64 import b32encode
from collections import deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from math import inf
from random import Random

import msgspec

from wsauth.core.credentials import Credentials
from wsauth.core.events import About
from wsauth.core.handshake import Handshake
from wsauth.core.identity import Identity
from wsauth.core.permissions import Roles
from wsauth.core.protocol.machine import Machine
from wsauth.core.protocol.states import State
from wsauth.core.refusals import ID_LENGTH
from wsauth.errors import Refused
from wsauth.interfaces.authorizer import Authorizer
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.feed import Answer
from wsauth.interfaces.transport import Transport
from wsauth.services.authentication import Authentication
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.deadlines import SLICE, Deadlines
from wsauth.services.connections.revocations import Revocations
from wsauth.services.connections.waiting import Waiting
from wsauth.services.events import Bus
from wsauth.services.throttling import Throttling

_log = logging.getLogger("wsauth")

__all__ = ["ANSWER_TIMEOUT", "Closing", "Connections", "Nodes", "Report", "new_id"]

READABLE_LIMIT = 100
"""Refused handshakes that are accepted at the same time, so that their pages can read why."""
ANSWER_TIMEOUT = 2.0
"""Seconds after which a report is given although something is still open."""


class Nodes(msgspec.Struct, frozen=True):
    """Count the processes that a report is about."""

    live: int
    answered: int
    silent: int


class Report(msgspec.Struct, frozen=True):
    """Say what a revocation or a disconnection did.

    Attributes:
        matched: connections it concerned.
        closed: those whose close frame was handed to the kernel.
        cut: those whose transport was cut.
        nodes: processes that were asked.
        slowest: seconds until the last of them was closed or cut.
        complete: whether all of them were, within two seconds.
        scope: `process` where the store is in memory, else `store`.
        id: of the order, by which it can be asked for again; empty where nothing is kept.
    """

    matched: int
    closed: int
    cut: int
    nodes: Nodes
    slowest: float
    complete: bool
    scope: str
    id: str = ""


class Closing:
    """Be connections that are being closed together; begun when it is made.

    Args:
        connections: which.
        error: why, of each.
        note: called with each once it is closed or cut.
    """

    def __init__(
        self,
        connections: Collection[Connection],
        error: Callable[[Connection], Refused],
        note: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._slowest = self._loop.time()
        self._endings = []
        for connection in connections:
            ending = connection.ending()
            ending.add_done_callback(partial(self._note, connection))
            self._endings.append(ending)
        self._error = error
        self._noted = note
        self._waiting = deque(connections)
        self._go_on()

    def _go_on(self) -> None:
        """Close as many as a slice of time allows, then let the others be served: none of these is let in again."""
        until = self._loop.time() + SLICE
        while self._waiting:
            connection = self._waiting.popleft()
            _end(connection, self._error(connection))
            if self._loop.time() >= until:
                self._loop.call_soon(self._go_on)
                return

    def _note(self, connection: Connection, _: object) -> None:
        self._slowest = self._loop.time()
        self._noted(connection)

    async def wait(self, at_most: float) -> None:
        """Wait until all are closed or cut, at most so many seconds."""
        waiting = [ending for ending in self._endings if not ending.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=at_most)

    def answer(self, node: str) -> Answer:
        """Return what has come of it until now."""
        done = [ending.result() for ending in self._endings if ending.done()]
        return Answer(
            node=node,
            matched=len(self._endings),
            closed=done.count("closed"),
            cut=done.count("cut"),
            slowest=self._slowest - self._began,
            complete=len(done) == len(self._endings),
        )


class Connections:
    """Hold the connections of a process.

    Args:
        clock: tells the time.
        roles: turn roles into permissions.
        authentication: says whose credentials are presented.
        bus: takes events.
        throttling: counts what addresses and identities do.

    Attributes:
        waiting: those who have not authenticated yet.
        refusing: refused handshakes that were accepted so that their pages can read why.
        heard_at: when the read of the feed began that is known here, in seconds since the epoch.
        hearing_timeout: seconds after that from which nothing is granted any more.
        draining: nobody is let in any more.
        authorizer: decides what `Connection.authorize` is asked; `None`: the roles do.
        unwritable: says why nobody new is let in while what happens cannot be written down, or `None`.
        on_lease: told of every connection whose lease is another than before.
        on_gone: told of every connection that is gone.
        on_stray: told of every identity that was verified for a connection whose lease is not, or no more, of its
            session.
    """

    clock: Clock
    authentication: Authentication
    bus: Bus
    deadlines: Deadlines
    revocations: Revocations
    throttling: Throttling
    waiting: Waiting
    refusing: set[Connection]
    on_lease: Callable[[Connection], None] | None
    on_gone: Callable[[Connection], None] | None
    on_stray: Callable[[Identity], None] | None
    unwritable: Callable[[], Refused | None] | None
    authorizer: Authorizer | None

    def __init__(
        self, clock: Clock, roles: Roles, authentication: Authentication, bus: Bus, throttling: Throttling
    ) -> None:
        self.clock = clock
        self.authorizer = None
        self.authentication = authentication
        self.bus = bus
        self.throttling = throttling
        allowances = throttling.allowances
        self.waiting = Waiting(allowances.unauthenticated_per_address, allowances.unauthenticated)
        self.deadlines = Deadlines(clock)
        self.revocations = Revocations()
        self._roles = roles
        self._all: dict[str, Connection] = {}
        # Most handles find one connection, which then stands there itself: a set takes 216 bytes.
        self._by_handle: dict[tuple[str, ...], Connection | set[Connection]] = {}
        self._random = Random(secrets.randbits(128))  # noqa: S311  handles that open nothing, spread renewals
        self.refusing = set()
        self.heard_at = 0.0
        self.hearing_timeout = inf
        self.on_lease = None
        self.on_gone = None
        self.on_stray = None
        self.draining = False
        self.unwritable = None

    def open(self, handshake: Handshake, transport: Transport, path: str, address: str, private: bool) -> Connection:
        """Make the connection of a handshake."""
        if self.authentication.overriding is not None:
            handshake.override()
        machine = Machine(
            About(f"{self._random.getrandbits(128):032x}", path, address, private),
            handshake,
            self._roles,
            opened_at=self.clock.now(),
            draw=self._random.random,
            new_id=new_id,
            readable=len(self.refusing) < READABLE_LIMIT,
        )
        connection = self._all[machine.about.connection_id] = Connection(self, machine, transport)
        return connection

    def get(self, connection_id: str) -> Connection | None:
        """Return the live connection of this id."""
        return self._all.get(connection_id)

    def all(self) -> list[Connection]:
        """Return every connection whose transport is not yet gone."""
        return list(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    @property
    def deaf(self) -> bool:
        """Tell whether the feed was not read for too long, so that nothing is granted."""
        return self.clock.now() - self.heard_at > self.hearing_timeout

    def index(self, connection: Connection, identity: Identity | None) -> None:
        """Make the connection findable as this identity's, and as nobody else's."""
        by_handle = self._by_handle
        if connection.indexed_as is not None:
            for handle in connection.indexed_as.handles:
                found = by_handle[handle]
                if found is connection:
                    del by_handle[handle]
                elif isinstance(found, set):
                    found.discard(connection)
                    if not found:
                        del by_handle[handle]
        connection.indexed_as = identity
        if identity is not None:
            for handle in identity.handles:
                others = by_handle.get(handle)
                if others is None:
                    by_handle[handle] = connection
                elif isinstance(others, set):
                    others.add(connection)
                else:
                    by_handle[handle] = {others, connection}

    def remove(self, connection: Connection) -> None:
        """Forget a connection whose transport is gone."""
        if self._all.pop(connection.id, None) is not None:
            self.index(connection, None)
            self.refusing.discard(connection)
            self.waiting.discard(connection)
            self.deadlines.set(connection, inf)
            if connection.recheck is not None:
                connection.recheck.stop()
            if self.on_gone is not None:
                self.on_gone(connection)

    def stopped(self) -> Refused | None:
        """Return why nothing is granted to anybody now, or `None`."""
        if self.deaf and self.authentication.overriding is None:
            return Refused("unavailable", "the feed of revocations was not read for too long", retry_after=1)
        if self.draining:
            return Refused("draining", "the server is stopping", retry_after=1)
        return None

    def closed_to_new(self) -> Refused | None:
        """Return why no handshake is taken now, or `None`; what is open already may go on and renew meanwhile."""
        return self.stopped() or (self.unwritable() if self.unwritable is not None else None)

    def admit(self, identity: Identity, credentials: Credentials) -> Identity | Refused:
        """Return whom a good credential lets in now: with the rights of now, or why it is dead, or why nobody is."""
        now = self.clock.now()
        stopped = self.stopped()
        if stopped is not None:
            return stopped
        revocations = self.revocations
        if revocations.empty:
            return identity
        issued_at = now if credentials.kind == "password" else _issued_at(identity)
        return revocations.check(identity, issued_at) or revocations.overlay(identity)

    def crowded(self, identity: Identity) -> Refused | None:
        """Return why an identity may have no further connection than those it is found by, or `None`."""
        limit = self.throttling.allowances.per_identity
        found = self._by_handle.get((identity.issuer, identity.subject))
        if not isinstance(found, set) or len(found) <= limit:
            return None
        why = f"{identity} has {len(found) - 1} connections here"
        return Refused("too_many_connections", why, mend="limits.connections_per_identity", retry_after=5)

    def dead(self, connections: Iterable[Connection]) -> dict[Connection, Refused]:
        """Return those whose lease has been revoked, and why, of the connections that nobody is closing yet."""
        found = {}
        for connection in connections:
            identity = connection.indexed_as
            if identity is None:
                continue
            issued_at = _issued_at(identity)
            since = connection.machine.opened_at if issued_at is None else issued_at
            error = self.revocations.check(identity, since)
            if error is not None:
                found[connection] = error
        return found

    def find(
        self,
        *,
        subject: str | None = None,
        issuer: str | None = None,
        session_id: str | None = None,
        token_id: str | None = None,
    ) -> set[Connection]:
        """Return the connections that all of these name and that nobody is closing yet."""
        asked: list[tuple[str, ...]] = []
        if subject is not None:
            asked.append((issuer or "", subject))
        if session_id is not None:
            asked.append(("session", session_id, ""))
        if token_id is not None:
            asked.append(("token", issuer or "", token_id))
        found = [self._found(handle) for handle in asked]
        named = set.intersection(*found) if found else set()
        return {connection for connection in named if connection.machine.state not in (State.CLOSING, State.CLOSED)}

    def _found(self, handle: tuple[str, ...]) -> set[Connection]:
        found = self._by_handle.get(handle)
        if found is None:
            return set()
        return set(found) if isinstance(found, set) else {found}

    def one_of_each_issuer(self, subject: str) -> Collection[Connection]:
        """Return one connection of each identity of this subject."""
        return {c.identity.issuer: c for c in self._all.values() if c.identity.subject == subject}.values()

    async def end(self, connections: Collection[Connection], error: Callable[[Connection], Refused]) -> Answer:
        """Close these connections, each with its error, and say what came of it, at the latest after two seconds."""
        closing = Closing(connections, error)
        await closing.wait(ANSWER_TIMEOUT)
        return closing.answer("")

    async def drain(self, within: float) -> None:
        """Let nobody in any more and close everybody, spread over so many seconds, for a restart."""
        self.draining = True
        # Those that close already go by themselves, and take nothing of the time.
        rest = [one for one in self.all() if one.machine.state not in (State.CLOSING, State.CLOSED)]
        self._random.shuffle(rest)
        pause = within / len(rest) if rest else 0.0
        for count, connection in enumerate(rest):
            if count and len(self):
                await asyncio.sleep(pause)
            back_in = 1 + self._random.random() * max(1.0, within / 2)
            _end(connection, Refused("draining", "the server is stopping", retry_after=back_in))
        left = [connection.ending() for connection in self.all()]
        if left:
            await asyncio.wait(left, timeout=ANSWER_TIMEOUT)


def _end(connection: Connection, error: Refused) -> None:
    try:
        connection.end(error)
    except Exception:  # noqa: BLE001  one connection's fault must not keep the others open
        _log.exception("a connection could not be closed")


def new_id() -> str:
    """Return a refusal's id: 12 characters of base32, 60 random bits."""
    return b32encode(secrets.token_bytes(8))[:ID_LENGTH].decode().lower()


def _issued_at(identity: Identity) -> float | None:
    issued_at = identity.claims.get("iat")
    return issued_at if isinstance(issued_at, int | float) else None
