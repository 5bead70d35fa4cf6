"""What Prometheus reads: numbers of everything that happens here, with labels that only we choose.

One process keeps its numbers in memory. Where several serve one port, each keeps them in a file of a folder that only
they enter (`PROMETHEUS_MULTIPROC_DIR`, set by their parent), and whichever is asked adds all of them up.
"""

import asyncio
import os
from collections import Counter as Count
from collections.abc import Callable
from functools import cache
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from wsauth.core import events
from wsauth.core.protocol.states import State
from wsauth.core.refusals import TABLE
from wsauth.services.connections.connections import Connections
from wsauth.services.events import Bus

__all__ = ["FOLDER", "Metrics"]

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder; `prometheus_client` reads it when it is imported."""
_EVERY: Final = 1.0
"""Seconds between two looks at what is not counted but seen."""
_QUICK: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds in seconds: a remembered token takes a tenth of a millisecond, an issuer that is away the whole time limit."""
_STATES: Final = {
    State.HANDSHAKING: "pending",
    State.PENDING: "pending",
    State.CONNECTING: "pending",
    State.OPEN: "open",
    State.STALE: "stale",
    State.CLOSING: "closing",
    State.CLOSED: "closing",
}
_OTHER: Final = "other"


class Metrics:
    """Count what the events say, and look at the rest once a second.

    Args:
        bus: gives the events.
        connections: those of this process.
        queue: returns how many passwords wait to be checked.
    """

    def __init__(self, bus: Bus, connections: Connections, *, queue: Callable[[], int]) -> None:
        self._connections = connections
        self._queue_now = queue
        self._registry = CollectorRegistry()
        self._open = self._gauge("connections", "Connections by state.", "livesum", "state")
        self._queue = self._gauge("login_queue", "Passwords that wait to be checked.", "livesum")
        self._age = self._gauge("feed_age_seconds", "Since the feed of revocations was read.", "livemax")
        self._blocks = self._gauge("blocks", "Addresses and networks that are blocked.", "livemax")
        self._handshakes = self._counter("handshakes", "Handshakes by outcome.", "outcome", "code")
        self._renewals = self._counter("renewals", "Renewals on open connections by outcome.", "outcome", "code")
        self._ends = self._counter("lease_ends", "Leases of open connections that ended, by cause.", "cause")
        self._messages = self._counter("messages_refused", "Messages of clients that were refused.", "code")
        self._requests = self._counter("requests_refused", "HTTP requests that were refused.", "code")
        self._logins = self._counter("logins", "Logins that succeeded.")
        self._tickets = self._counter("tickets", "Tickets that were made.")
        self._revocations = self._counter("revocations", "Orders that ended connections.", "kind")
        self._noticed = self._counter("noticed", "What looked like an attack.", "what")
        self._alerts = self._counter("alerts", "Alerts to webhooks by outcome.", "outcome")
        self._failures = self._counter("login_failures", "Failed logins, also those not looked at.", "code")
        self._verified = self._histogram("verification_seconds", "Verifying a credential.", "kind")
        self._enforced = self._histogram("revocation_close_seconds", "From a revocation to its close frame.")
        self._subscribe(bus)

    async def run(self) -> None:
        """Look once a second, until cancelled: in another process somebody may ask for our numbers."""
        while True:
            self._look()
            await asyncio.sleep(_EVERY)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the numbers of all processes and their media type.

        Args:
            accept: the `Accept` header: OpenMetrics for whoever asks for it, else Prometheus's text.
        """
        self._look()
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # theirs has no types
        encode, media_type = choose_encoder(accept)
        return encode(registry), media_type

    def _look(self) -> None:
        found = Count(_STATES[one.machine.state] for one in self._connections.all())
        for state in sorted(set(_STATES.values())):
            self._open.labels(state).set(found[state])
        self._queue.set(self._queue_now())
        self._blocks.set(self._connections.throttling.blocks.count(self._connections.clock.now()))
        self._age.set(max(0.0, self._connections.clock.now() - self._connections.heard_at))

    def _subscribe(self, bus: Bus) -> None:
        accepted = self._handshakes.labels("accepted", "")
        bus.subscribe(events.Connected, lambda _: accepted.inc())
        bus.subscribe(
            events.HandshakeRefused, lambda event: self._handshakes.labels("refused", _code(event.code)).inc()
        )
        bus.subscribe(events.Renewed, lambda _: self._renewals.labels("accepted", "").inc())
        bus.subscribe(events.RenewalRefused, lambda event: self._renewals.labels("refused", _code(event.code)).inc())
        bus.subscribe(events.Expired, lambda _: self._ends.labels("token_expired").inc())
        bus.subscribe(events.Closed, self._closed)
        bus.subscribe(events.MessageRefused, lambda event: self._messages.labels(_code(event.code)).inc())
        bus.subscribe(events.RequestRefused, lambda event: self._requests.labels(_code(event.code)).inc())
        bus.subscribe(events.LoggedIn, lambda _: self._logins.inc())
        bus.subscribe(events.TicketIssued, lambda _: self._tickets.inc())
        bus.subscribe(events.Revoked, lambda _: self._revocations.labels("revoked").inc())
        bus.subscribe(events.Disconnected, lambda _: self._revocations.labels("disconnected").inc())
        bus.subscribe(events.LoginFailed, lambda event: self._failures.labels(_code(event.code)).inc())
        bus.subscribe(events.Noticed, lambda event: self._noticed.labels(event.what).inc())
        bus.subscribe(events.Alerted, lambda event: self._alerts.labels(event.outcome).inc())
        verified = cache(self._verified.labels)  # every handshake comes here, and looking up a label costs most
        bus.subscribe(events.Verified, lambda event: verified(event.kind).observe(event.seconds))
        bus.subscribe(events.Enforced, lambda event: self._enforced.observe(event.seconds))

    def _closed(self, event: events.Closed) -> None:
        cause = _code(event.reason.partition(";")[0]) if event.by == "wsauth" else event.by
        if cause != "token_expired":  # told when it expired
            self._ends.labels(cause).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="wsauth", registry=self._registry)

    def _gauge(self, name: str, text: str, mode: Literal["livesum", "livemax"], *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace="wsauth", registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace="wsauth", registry=self._registry, buckets=_QUICK)


def _code(code: str) -> str:
    return code if code in TABLE else _OTHER
