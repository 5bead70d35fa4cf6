"""Leases that live on because of what happens elsewhere: a session is refreshed, or its user simply has not changed.

Once a second the sessions are looked up whose leases end soon, in one statement: so that one which was refreshed
already is extended before anybody is told that its end is near.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Final

from wsauth.core.identity import is_ours
from wsauth.core.lease import Lease, warn_at
from wsauth.core.protocol.states import State
from wsauth.core.sessions import Limits, Session
from wsauth.interfaces.sessions import Known
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.connections import Connections

__all__ = ["AHEAD", "Extensions"]

AHEAD: Final = 1.5
"""How much earlier than its warning a lease is looked after: 45 s before its end where that comes 30 s before."""
_LEAST: Final = 2.5
"""Seconds before its end from which on the shortest lease is looked after."""

Lookup = Callable[[Collection[str]], Awaitable[Sequence[Known]]]


class Extensions:
    """Look after the leases that sessions and keys of ours stand for.

    Args:
        connections: of this process.
        limits: how long a lease lives.
        lookup: returns those of these sessions that live.
    """

    def __init__(self, connections: Connections, limits: Limits, lookup: Lookup) -> None:
        self._connections = connections
        self._limits = limits
        self._lookup = lookup
        self._seconds: dict[Connection, int] = {}
        self._buckets: dict[int, set[Connection]] = {}
        self._due: set[Connection] = set()
        self._swept = int(connections.clock.now())
        connections.on_lease = self.watch
        connections.on_gone = self.forget

    def watch(self, connection: Connection) -> None:
        """Look after a connection when its lease is one that can live on."""
        self.forget(connection)
        lease = connection.machine.lease
        if lease is None or not lease.ends or not is_ours(lease.identity) or not _extends(connection):
            return
        due = int(lease.ends_at - _ahead(lease))
        if due <= self._swept:
            self._due.add(connection)
        else:
            self._seconds[connection] = due
            self._buckets.setdefault(due, set()).add(connection)

    def forget(self, connection: Connection) -> None:
        """Look after a connection no more."""
        self._due.discard(connection)
        second = self._seconds.pop(connection, None)
        if second is not None:
            self._buckets[second].discard(connection)
            if not self._buckets[second]:
                del self._buckets[second]

    async def run(self) -> None:
        """Extend what can be extended. Called once a second, while the feed is heard."""
        now = self._connections.clock.now()
        for second in sorted(second for second in self._buckets if second <= now):
            for connection in self._buckets.pop(second):
                del self._seconds[connection]
                self._due.add(connection)
        self._swept = int(now)
        self._due = {connection for connection in self._due if _waits(connection, now)}
        by_session: dict[str, list[Connection]] = {}
        for connection in list(self._due):
            session_id = connection.identity.session_id
            if session_id is None:
                connection.extended(now + self._limits.access)
            else:
                by_session.setdefault(session_id, []).append(connection)
        if by_session:
            live = await self._lookup(by_session)
            if not self._connections.deaf:
                self._extend(live, by_session)

    def _extend(self, live: Iterable[Known], by_session: dict[str, list[Connection]]) -> None:
        for known in live:
            session = known.session
            until = min(session.refreshed_at + self._limits.access, self._limits.stands_until(session))
            for connection in by_session[session.id]:
                # It may have been renewed while the store was asked.
                if (
                    connection.identity.session_id == session.id
                    and _extends(connection)
                    and _as_of(connection, session)
                ):
                    connection.extended(until)


def _extends(connection: Connection) -> bool:
    """Tell whether a lease of ours can be extended from elsewhere (CONTRACT section 6, the table of leases)."""
    identity = connection.identity
    kind = identity.claims.get("kind")
    if identity.session_id is None:
        return kind == "key"
    # An access token says no kind: it has an end of its own.
    return kind is not None or connection.machine.policy.follow_session


def _as_of(connection: Connection, session: Session) -> bool:
    """Tell whether a connection came by the cookie of now, and not by one from before a change of the password."""
    generation = connection.identity.claims.get("generation")
    return session.kind != "cookie" or generation is None or generation == session.generation


def _ahead(lease: Lease) -> float:
    """Return how long before its end a lease is looked after, in seconds."""
    return max(_LEAST, AHEAD * (lease.ends_at - warn_at(lease)))


def _waits(connection: Connection, now: float) -> bool:
    """Tell whether a connection still waits for an extension."""
    lease = connection.machine.lease
    if lease is None or connection.machine.state in (State.CLOSING, State.CLOSED):
        return False
    return lease.ends_at - now <= _ahead(lease) + 1
