"""Notice what looks like an attack, in one process, from the events and from how much clients send.

Nothing is looked at on the way of a message: how much a client has sent is asked of the kernel, connection by
connection, every few seconds. What is noticed about one account, address, session or connection is said once in a
while, however often it happens.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeVar

from wsauth.core import events
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.noticing import Traffic
from wsauth.core.throttling import Buckets, Rate, network_of
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.connections import Connections
from wsauth.services.events import Bus

__all__ = ["Noticing"]

_FAILURES: Final = Rate(10, 60.0)
"""Failed logins of one account."""
_BAD_MESSAGES: Final = Rate(10, 60.0)
"""Malformed or oversized messages of one identity, or of one address that nobody has authenticated at."""
_ACCOUNTS: Final = 10
"""Accounts that one address may fail to log in to, within `_ACCOUNTS_WITHIN`."""
_ACCOUNTS_WITHIN: Final = 600.0
_TOGETHER: Final = 10.0
"""Seconds within which nobody changes networks."""
_SAID: Final = 600.0
"""Seconds in which the same is not said again."""
_REMEMBERED: Final = 10_000
"""Accounts, addresses, sessions that are remembered of each kind."""
_EVERY: Final = 10.0
"""Seconds between two looks at the traffic of every connection."""
_AT_ONCE: Final = 200
"""Connections that are looked at before others get their turn; each takes 2 µs."""
_MALFORMED: Final = frozenset({"message_invalid", "message_too_large", "message_unsupported", "request_invalid"})

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Noticing:
    """Publish a `Noticed` for what looks like an attack.

    Args:
        bus: gives the events, and takes what is noticed.
        connections: those of this process.
    """

    def __init__(self, bus: Bus, connections: Connections) -> None:
        self._bus = bus
        self._connections = connections
        self._clock = connections.clock
        self._failures = Buckets(_FAILURES, _REMEMBERED)
        self._bad = Buckets(_BAD_MESSAGES, _REMEMBERED)
        # Address -> account -> when a login to it failed last.
        self._accounts: OrderedDict[str, dict[str, float]] = OrderedDict()
        # Session or token -> from which network it was used last, and when.
        self._uses: OrderedDict[tuple[str, ...], tuple[str, float]] = OrderedDict()
        self._said: OrderedDict[tuple[str, str], float] = OrderedDict()
        # Connection's id -> what was seen of it.
        self._traffic: dict[str, Traffic] = {}
        bus.subscribe(events.LoginFailed, self._login_failed)
        bus.subscribe(events.TokenReused, self._reused)
        bus.subscribe(events.Connected, self._used)
        bus.subscribe(events.Renewed, self._used)
        bus.subscribe(events.MessageRefused, self._refused)
        bus.subscribe(events.HandshakeRefused, self._refused)
        bus.subscribe(events.Closed, self._closed)

    # Logins.

    def _login_failed(self, event: events.LoginFailed) -> None:
        if self._failures.charge(event.account, event.at):
            why = f"more than {_FAILURES} failed logins to one account"
            whom = {} if event.subject is None else {"subject": event.subject, "issuer": OWN_ISSUER}
            self._notice("login_failures", event.account, why, event.address, **whom)
        if not event.address:
            return
        address = network_of(event.address)
        accounts = self._accounts.pop(address, {})
        accounts[event.account] = event.at
        if len(accounts) > _ACCOUNTS:
            accounts = {name: at for name, at in accounts.items() if event.at - at < _ACCOUNTS_WITHIN}
        if len(accounts) > _ACCOUNTS:
            why = f"logins to {len(accounts)} accounts failed from one address within {_ACCOUNTS_WITHIN:g} s"
            self._notice("many_accounts", address, why, event.address)
            accounts = {}
        _remember(self._accounts, address, accounts)

    def _reused(self, event: events.TokenReused) -> None:
        why = "an old refresh token came back, and its session was ended"
        whom = {"subject": event.subject, "issuer": event.issuer, "session_id": event.session_id}
        self._notice("token_reuse", event.session_id, why, event.address, **whom)

    # Connections.

    def _used(self, event: events.Connected | events.Renewed) -> None:
        identity, address = event.identity, event.about.address
        if identity is None or not address or not (handles := identity.handles[1:]):
            return
        network = network_of(address)
        for handle in handles:
            before = self._uses.pop(handle, None)
            _remember(self._uses, handle, (network, event.at))
            if before is None or event.at - before[1] >= _TOGETHER or not _moved(before[0], network):
                continue
            why = f"used from {before[0]} and {event.at - before[1]:.1f} s later from {network}"
            self._notice_connection("second_network", event, why)

    def _refused(self, event: events.RefusalEvent) -> None:
        if event.code in _MALFORMED:
            self._bad_message(event)

    def _closed(self, event: events.Closed) -> None:
        if event.by == "wsauth" and event.reason.partition(";")[0] in _MALFORMED:
            self._bad_message(event)

    def _bad_message(self, event: events.ConnectionEvent) -> None:
        identity = event.identity
        known = identity is not None and identity.is_authenticated
        key = " ".join(identity.key) if identity is not None and known else network_of(event.about.address)
        if key and self._bad.charge(key, event.at):
            self._notice_connection("bad_messages", event, f"more than {_BAD_MESSAGES} malformed or oversized messages")

    # Traffic.

    async def run(self) -> None:
        """Look at the traffic every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.look()

    async def look(self) -> None:
        """See how much each client has sent since the last look."""
        before, self._traffic = self._traffic, {}
        connections = self._connections.all()
        for at in range(0, len(connections), _AT_ONCE):
            self._look_at(connections[at : at + _AT_ONCE], before)
            await asyncio.sleep(0)

    def _look_at(self, some: Sequence[Connection], before: dict[str, Traffic]) -> None:
        for connection in some:
            total = connection.bytes_received()
            if total is None:
                continue
            last = before.get(connection.id)
            if last is None:
                self._traffic[connection.id] = Traffic(total)
                continue
            self._traffic[connection.id] = last.then(total)
            if last.jumps(total):
                why = f"{total - last.total} bytes came in {_EVERY:g} s, where {last.usual:.0f} are usual"
                about, identity = connection.machine.about, connection.identity
                event = events.ConnectionEvent(at=self._clock.now(), about=about, identity=identity)
                self._notice_connection("traffic_jump", event, why)

    # Saying it.

    def _notice_connection(self, what: str, event: events.ConnectionEvent, why: str) -> None:
        identity, connection_id = event.identity, event.connection_id
        whom: dict[str, str | None] = {"connection_id": connection_id}
        if identity is not None and identity.is_authenticated:
            whom |= {name: getattr(identity, name) for name in ("subject", "issuer", "session_id", "token_id")}
        key = whom.get("session_id") or whom.get("token_id") or connection_id
        self._notice(what, key, why, event.about.address, **whom)

    def _notice(self, what: str, key: str, why: str, address: str, **whom: str | None) -> None:
        """Publish it, unless the same was said about this one a short while ago."""
        now, before = self._clock.now(), self._said.pop((what, key), None)
        if before is not None and now - before < _SAID:
            self._said[what, key] = before
            return
        _remember(self._said, (what, key), now)
        self._bus.publish(events.Noticed(at=now, what=what, reason=why, address=address, **whom))


def _remember(kept: "OrderedDict[_Key, _Value]", key: _Key, value: _Value) -> None:
    """Keep a value as the newest; the oldest goes where there are too many."""
    kept[key] = value
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)


def _moved(before: str, now: str) -> bool:
    """Tell whether these are two networks; IPv4 and IPv6 may be two ways of one device."""
    return before != now and (":" in before) == (":" in now)
