"""Put everything together."""

import asyncio
import inspect
import logging
import multiprocessing
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from types import UnionType
from typing import Self, TypeVar, Unpack, get_args

from wsauth.core import events
from wsauth.core.feed import KEPT, NewRow
from wsauth.core.identity import Identity
from wsauth.core.origins import Origins
from wsauth.core.permissions import Roles
from wsauth.core.routes import Policy, Routes
from wsauth.core.sessions import Limits
from wsauth.core.units import needed
from wsauth.core.webhooks import Webhook
from wsauth.errors import ConfigurationError, Refused
from wsauth.guard.backend import Backend
from wsauth.guard.route import ELSEWHERE, PolicyKeys, Route, RouteKeys, policy_of
from wsauth.guard.watch import Watch
from wsauth.integrations.asgi import logs
from wsauth.integrations.asgi.coverage import unguarded
from wsauth.interfaces.audit import recording
from wsauth.interfaces.authorizer import Authorizer
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.sessions import Known
from wsauth.interfaces.verifier import Verifier
from wsauth.services import journal
from wsauth.services.authentication import Authentication
from wsauth.services.clock import SystemClock
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.connections import Connections, Report
from wsauth.services.connections.extensions import Extensions
from wsauth.services.events import Handler
from wsauth.services.feed.follower import Follower
from wsauth.services.throttling import DEFAULT, Allowances, Throttling
from wsauth.services.tickets import SignedTickets
from wsauth.verifiers.http import HTTPVerifier

__all__ = ["Guard"]

_log = logging.getLogger("wsauth")
_Function = TypeVar("_Function", bound=Handler)
_ORDER_KEPT = 60.0
"""Seconds that a disconnection is kept, so that what it did can be asked for."""
_REVOCATION_KEPT = KEPT
"""Seconds that a revocation is kept where nobody says how long a token may live."""


class Guard:
    """Guard the WebSockets of an application.

    Args:
        verifiers: who says whether credentials are good, asked in order.
        origins: the pages that may connect; `[]` means no browser.
        routes: what differs on some paths; every other WebSocket path needs credentials.
        roles: role → permissions, in which `*` stands for one segment and `**` for the rest.
        store: `memory:`, so that revocations and tickets reach this process only; or `sqlite:///FILE`, which all
            processes of a machine share.
        key_file: beside such a store; it is made where there is none.
        access_ttl: the lease of a ticket, a password, our own session cookie or an API key.
        ticket_ttl: how long a ticket may wait to be used.
        allowances: what an address may do that does not authenticate, and an identity that does.
        authorizer: decides what `Connection.authorize` and the FastAPI dependency are asked; otherwise the roles do.
        closed: a path without a `Route` is refused with 404, instead of needing credentials.
        clock: for tests.
        actions: what is done about what looks like an attack, such as `{"second_network": ["end_session", "alert"]}`;
            an alert, where nothing is said.
        webhooks: where alerts go.
        keys: the keys of `[[routes]]`, for every path on which a `Route` does not say otherwise.

    Raises:
        ConfigurationError: something is set up wrong.
    """

    def __init__(
        self,
        *,
        verifiers: Sequence[Verifier],
        origins: Sequence[str],
        routes: Iterable[Route] = (),
        roles: Mapping[str, Iterable[str]] | None = None,
        store: str | Backend = "memory:",
        key_file: str | Path = "wsauth.key",
        access_ttl: str | float = "5m",
        ticket_ttl: str | float = "30s",
        allowances: Allowances = DEFAULT,
        authorizer: Authorizer | None = None,
        closed: bool = False,
        clock: Clock | None = None,
        actions: Mapping[str, Sequence[str]] | None = None,
        webhooks: Sequence[Webhook] = (),
        **keys: Unpack[PolicyKeys],
    ) -> None:
        logs.install()
        self.backend = store if isinstance(store, Backend) else Backend(store, key_file, clock or SystemClock())
        backend = self.backend
        self.origins = Origins(origins)
        self.roles = Roles(roles or {})
        local = backend.local
        self.verifiers = (*(() if local is None else (local.verifier,)), *_checked(verifiers, alone=local is None))
        self.cookies = frozenset(c for c in (getattr(v, "cookie", "") for v in self.verifiers) if c)
        self.questions = frozenset(verifier.asks for verifier in self.verifiers if isinstance(verifier, HTTPVerifier))
        self.bus = backend.bus
        journal.subscribe(self.bus)
        ttl = needed(access_ttl, "access_ttl")
        limits = local.limits if local is not None else Limits(access=ttl, idle=inf, absolute=inf, grace=0.0)
        self._tickets = SignedTickets(
            backend.tickets, backend.key_file, limits, backend.clock, needed(ticket_ttl, "ticket_ttl")
        )
        self.authentication = Authentication(self.verifiers, self._tickets)
        self.throttling = Throttling(allowances, backend.clock)
        self.connections = Connections(backend.clock, self.roles, self.authentication, self.bus, self.throttling)
        self.connections.authorizer = _authorizer(authorizer)
        if backend.trail is not None:
            self.connections.unwritable = backend.trail.stopped
        self._watch = Watch(
            self.connections,
            local,
            actions=actions or {},
            webhooks=webhooks,
            revoke=self.revoke,
            disconnect=self.disconnect,
        )
        self.follower = self._follow(limits)
        defaults: RouteKeys = {"origins": tuple(origins), **keys}
        default = policy_of(ELSEWHERE, defaults, ttl)
        policies = [policy_of(route.path, defaults | route.keys, ttl) for route in _routes(routes)]
        self.routes = Routes(policies, None if closed else default)
        for policy in policies if closed else (default, *policies):
            self._check_cookies(policy)
        self._clock = backend.clock
        self.started = False
        self._starting = asyncio.Lock()

    def _follow(self, limits: Limits) -> Follower:
        """Return what keeps the connections true to the feed."""
        backend = self.backend
        follower = Follower(
            backend.feed,
            backend.reader,
            self.connections,
            node=backend.node,
            timeout=backend.feed_timeout,
            on_loss=backend.on_feed_loss,
        )
        if backend.store is None:
            follower.listen()
        else:
            follower.every_second(Extensions(self.connections, limits, self._renewals).run)
        if backend.local is not None:
            backend.local.follow(follower, self.connections)
        return follower

    @classmethod
    def from_config(cls, path: str | Path = "wsauth.toml") -> "Guard":
        """Return the guard that a configuration file describes, with the users of its store.

        An application puts it in front of itself, and `wsauth serve` beside it, on the same file, is where its users
        log in. Paths without a route in the file need credentials, as everywhere; upstreams are not asked.

        Args:
            path: of the file; `WSAUTH__…` variables count as they do for the command.

        Raises:
            ConfigurationError: something in it is wrong, or `wsauth[server]` is not installed.
        """
        try:
            from wsauth.guard.configured import guard_of_file
        except ImportError as error:
            raise ConfigurationError(
                f"Guard.from_config needs: pip install 'wsauth[server]' ({error.name} is missing)"
            ) from None
        return guard_of_file(Path(path))

    # Life.

    async def start(self) -> None:
        """Get ready: open the store, have the verifiers fetch their keys. Called by the lifespan, or at first use."""
        if self.started or self.authentication.overriding is not None:
            return
        async with self._starting:
            if not self.started:
                await self._start()

    async def _start(self) -> None:
        if self.backend.store is None:
            _warn_of_workers()
        else:
            await self.backend.open()
            await self.follower.start()
        self.started = True
        self._watch.start()
        for verifier in self.verifiers:
            start = getattr(verifier, "start", None)
            if start is not None:
                await start()

    async def aclose(self) -> None:
        """Close what is still open, and let go of timers, tasks, the store and connections to providers."""
        if not self.started:
            return
        self.started = False
        draining = Refused("draining", "the guard was closed", retry_after=1)
        await self.connections.end(self.connections.all(), lambda _: draining)
        self.connections.deadlines.close()
        await self._watch.aclose()
        for verifier in self.verifiers:
            aclose = getattr(verifier, "aclose", None)
            if aclose is not None:
                await aclose()
        if self.backend.store is not None:
            await self.follower.aclose()
            await self.backend.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # What an application does with it.

    def on(self, kind: type[events.Event] | UnionType) -> Callable[[_Function], _Function]:
        """Have a function called with every event of a kind, or of several: `@guard.on(Connected | Closed)`."""
        kinds = get_args(kind) or (kind,)
        for one in kinds:
            if not (isinstance(one, type) and issubclass(one, events.Event)):
                raise ConfigurationError(f"guard.on takes kinds of events, not {one!r}")

        def subscribe(handler: _Function) -> _Function:
            for one in kinds:
                self.bus.subscribe(one, handler)
            return handler

        return subscribe

    async def issue_ticket(
        self, identity: Identity, *, path: str | None = None, origin: str | None = None, ttl: float | None = None
    ) -> str:
        """Return a single-use ticket for somebody, for `?ticket=`, the subprotocol or a message.

        Args:
            identity: whom it lets in; its `expires_at` bounds the lease that the ticket opens.
            path: the only path it is good at.
            origin: the only page it is good for.
            ttl: seconds for which it is good, instead of `ticket_ttl`.
        """
        ticket = await self._tickets.issue(identity, path, origin, ttl)
        self.bus.publish(events.TicketIssued(at=self._clock.now(), identity=identity, path=path, origin=origin))
        return ticket

    async def revoke(
        self,
        *,
        subject: str | None = None,
        issuer: str | None = None,
        session_id: str | None = None,
        token_id: str | None = None,
    ) -> Report:
        """Make credentials worthless and close what they opened, at once and without grace.

        Args:
            subject: everything issued to this identity until now.
            issuer: whose subject or token it is; may be left out where there is only one. Of a token that wsauth itself
                issued it is `wsauth`, whoever signed in for it.
            session_id: a session and all that came from it.
            token_id: one token, by its `jti`.

        Raises:
            ConfigurationError: not exactly one of subject, session and token was named.
            Refused: `conflict`: the issuer was left out and several come into question.
        """
        if sum(name is not None for name in (subject, session_id, token_id)) != 1:
            raise ConfigurationError("revoke: name exactly one of subject, session_id and token_id")
        if session_id is None:
            issuer = await self._issuer(issuer, subject)
        return await self._revoke(issuer, subject, session_id, token_id)

    async def log_out(self, issuer: str, subject: str | None, session_id: str | None, until: float) -> Report:
        """End what an issuer says has ended there: one login, or all of a subject's up to a time by its own clock.

        Args:
            issuer: who says so.
            subject: whose logins; or `None`.
            session_id: which one, by its id at the issuer; then the subject does not matter.
            until: seconds since the epoch.
        """
        return await self._revoke(issuer, None if session_id else subject, session_id, None, until)

    async def _revoke(
        self,
        issuer: str | None,
        subject: str | None,
        session_id: str | None,
        token_id: str | None,
        until: float | None = None,
    ) -> Report:
        leeway, kept = self._bounds(issuer)
        with recording():
            report = await self.backend.revoke(
                issuer=issuer or "",
                subject=subject,
                session_id=session_id,
                token_id=token_id,
                leeway=leeway,
                kept=kept,
                until=until,
            )
            named = {"subject": subject, "issuer": issuer, "session_id": session_id, "token_id": token_id}
            self._publish(events.Revoked, report, **named)
        return report

    async def disconnect(
        self,
        *,
        subject: str | None = None,
        issuer: str | None = None,
        session_id: str | None = None,
        connection_id: str | None = None,
        retry_after: float | None = None,
    ) -> Report:
        """Close connections; their credentials stay good.

        Args:
            subject: all of this identity's.
            issuer: whose subject it is; may be left out where there is only one.
            session_id: all of this session's.
            connection_id: this one.
            retry_after: seconds after which the client may come back; `None` asks it to stay away.

        Raises:
            ConfigurationError: not exactly one of subject, session and connection was named.
            Refused: `conflict`: the issuer was left out and several come into question.
        """
        if sum(name is not None for name in (subject, session_id, connection_id)) != 1:
            raise ConfigurationError("disconnect: name exactly one of subject, session_id and connection_id")
        if retry_after is not None and not 0 <= retry_after < inf:
            raise ConfigurationError(f"disconnect: retry_after={retry_after!r} is not a number of seconds")
        if subject is not None:
            issuer = await self._issuer(issuer, subject)
        named = {"subject": subject, "issuer": issuer, "session_id": session_id, "connection_id": connection_id}
        value = {name: text for name, text in named.items() if text is not None} | {"retry_after": retry_after}
        keep_until = self._clock.now() + _ORDER_KEPT
        event = events.Disconnected(at=self._clock.now(), id="", matched=None, **named)
        with recording(lambda _: event):
            report = await self.backend.orders.publish(
                lambda order: [NewRow(kind="disconnect", value=value, keep_until=keep_until, order=order)]
            )
            self._publish(events.Disconnected, report, **named)
        return report

    def connection(self, connection_id: str) -> Connection | None:
        """Return the live connection of this id."""
        return self.connections.get(connection_id)

    def check(self, app: object) -> list[str]:
        """Name the WebSocket routes of a Starlette or FastAPI application that this guard does not cover."""
        return unguarded(app, self)

    @contextmanager
    def override(self, identity: Identity) -> Generator[None]:
        """Take everybody who connects or asks, with any credentials or none, for this identity; for tests only.

        Origins, paths, permissions and revocations are looked at as always.
        """
        authentication = self.authentication
        before, authentication.overriding = authentication.overriding, identity
        _log.warning("Guard.override: everybody is %s", identity)
        try:
            yield
        finally:
            authentication.overriding = before

    # Inside.

    async def _issuer(self, issuer: str | None, subject: str | None) -> str:
        if issuer is not None:
            return issuer
        known = {named for verifier in self.verifiers for named in _issuers_of(verifier)}
        if subject is not None:
            known |= await self.backend.orders.issuers_of(subject)
        if len(known) > 1:
            raise Refused("conflict", f"say issuer=, one of {sorted(known)}")
        if not known:
            raise ConfigurationError("say issuer=: no verifier names one, and nobody of that subject is connected")
        return known.pop()

    def _bounds(self, issuer: str | None) -> tuple[float, float]:
        """Return the leeway of an issuer, and how long a revocation of its credentials is kept, in seconds."""
        asked = [v for v in self.verifiers if issuer is None or issuer in (_issuers_of(v) or (issuer,))]
        leeway = max((getattr(v, "leeway", 0.0) for v in asked), default=0.0)
        kept = max((getattr(v, "max_ttl", _REVOCATION_KEPT) or inf for v in asked), default=_REVOCATION_KEPT)
        return leeway, max(kept, _REVOCATION_KEPT) + 2 * leeway

    def _publish(
        self, kind: type[events.Revoked] | type[events.Disconnected], report: Report, **named: str | None
    ) -> None:
        self.bus.publish(kind(at=self._clock.now(), id=report.id, matched=report.matched, **named))

    async def _renewals(self, session_ids: Collection[str]) -> Sequence[Known]:
        """Return which sessions of our own users live."""
        store, local = self.backend.store, self.backend.local
        if store is None or local is None:
            return ()
        return await store.sessions.renewals(session_ids, local.limits, self._clock.now())

    def _check_cookies(self, policy: Policy) -> None:
        if self.cookies and policy.origins.any and "cookie" in policy.sources:
            raise ConfigurationError(
                f'origins=["*"] with the cookie {sorted(self.cookies)[0]!r} lets every page use its visitors\' logins'
                f' at {policy.path}: name the pages, or leave "cookie" out of sources'
            )


def _checked(verifiers: Sequence[Verifier], *, alone: bool) -> tuple[Verifier, ...]:
    if not isinstance(verifiers, Sequence):
        raise ConfigurationError("verifiers is a list: write verifiers=[…]")
    for verifier in verifiers:
        if isinstance(verifier, type) or not inspect.iscoroutinefunction(getattr(verifier, "verify", None)):
            raise ConfigurationError(f"verifiers: {verifier!r} is no object with `async def verify(self, credentials)`")
    if not verifiers and alone:
        _log.warning("a guard without verifiers: tickets of its own are the only way in")
    return tuple(verifiers)


def _authorizer(authorizer: Authorizer | None) -> Authorizer | None:
    named = inspect.iscoroutinefunction(getattr(authorizer, "authorize", None)) and not isinstance(authorizer, type)
    if authorizer is not None and not named:
        wanted = "async def authorize(self, identity, permissions, permission)"
        raise ConfigurationError(f"authorizer: {authorizer!r} is no object with `{wanted}`")
    return authorizer


def _routes(routes: Iterable[Route]) -> list[Route]:
    listed = list(routes) if isinstance(routes, Iterable) else [routes]
    if isinstance(routes, Route) or not all(isinstance(route, Route) for route in listed):
        raise ConfigurationError('routes is a list of Route: write routes=[Route("/ws", …)]')
    return listed


def _issuers_of(verifier: Verifier) -> Collection[str]:
    """Return the issuers of a verifier's identities; none where it does not say."""
    named: Collection[str] | None = getattr(verifier, "issuers", None)
    if named is not None:
        return named
    one = str(getattr(verifier, "issuer", None) or getattr(verifier, "name", ""))
    return (one,) if one else ()


def _warn_of_workers() -> None:
    """Say once, from the second worker, that revocations in memory stay in one process."""
    identity = getattr(multiprocessing.current_process(), "_identity", ())
    if identity and identity[0] == 2:
        _log.warning('several workers: with store="memory:" revocations and tickets reach one process only')
