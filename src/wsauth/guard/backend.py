"""What is behind a guard: a store and a feed, and with them our own users."""

import asyncio
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Final, Literal

from wsauth.core import events
from wsauth.core.feed import KEPT, NewRow, pair_key
from wsauth.core.identity import OWN_ISSUER, account_of
from wsauth.core.sessions import Limits
from wsauth.errors import ConfigurationError
from wsauth.guard.local import Local, LocalKeys
from wsauth.interfaces.audit import recording
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.feed import Feed, FeedReader
from wsauth.interfaces.provider import Provider
from wsauth.interfaces.store import Store
from wsauth.interfaces.tickets import TicketStore
from wsauth.services.audit import LineSink, Trail
from wsauth.services.connections.connections import Report
from wsauth.services.events import Bus
from wsauth.services.feed.follower import FEED_TIMEOUT, new_node
from wsauth.services.feed.memory import MemoryFeed
from wsauth.services.feed.orders import Orders
from wsauth.services.keyfile import KeyFile
from wsauth.services.tickets import MemoryTicketStore

__all__ = ["Backend"]

MEMORY: Final = "memory:"
_RETENTION: Final = 90 * 86_400.0


class Backend:
    """Hold what one process has of the store: in memory, or shared with all processes of a machine.

    Args:
        url: `memory:` or `sqlite:///FILE`.
        key_file: the file without which nothing in the store signs, decrypts or authenticates.
        clock: tells the time.
        feed_timeout: seconds without a read of the feed after which nothing is granted any more.
        on_feed_loss: then also `close` open connections, or `refuse` only.
        follows: this process holds connections; a command holds none.
        kept: how long what others issued may live, in seconds: so long a revocation of it is kept.
        leeway: how far the clocks of others may be ahead, in seconds.
        audit_log: `store`, the path of a file, or `-` for standard output.
        audit_retention: seconds that the store keeps entries of it; 0.0: for ever.

    Attributes:
        trail: writes the audit log, where there is a store.
        local: our own users, where they are served.
    """

    local: Local | None
    trail: Trail | None

    def __init__(
        self,
        url: str,
        key_file: str | Path,
        clock: Clock,
        *,
        feed_timeout: float = FEED_TIMEOUT,
        on_feed_loss: Literal["refuse", "close"] = "refuse",
        follows: bool = True,
        kept: float = KEPT,
        leeway: float = 0.0,
        audit_log: str = "store",
        audit_retention: float = _RETENTION,
    ) -> None:
        self.clock = clock
        self._kept = max(KEPT, kept)
        self._leeway = leeway
        self.bus = Bus()
        self.node = new_node(clock.now()) if follows else ""
        self.on_feed_loss = on_feed_loss
        self.store: Store | None
        self.feed: Feed
        self.reader: FeedReader
        self.tickets: TicketStore
        if url == MEMORY:
            self.store = None
            self.key_file = KeyFile.in_memory()
            self.feed = self.reader = MemoryFeed(clock)
            self.tickets = MemoryTicketStore()
            self.feed_timeout = inf
        else:
            self.store = _opened(url)
            self.key_file = _key_of(self.store, Path(key_file))
            self.feed, self.reader, self.tickets = self.store.feed, self.store.reader, self.store.tickets
            self.feed_timeout = feed_timeout
        scope: Literal["process", "store"] = "process" if self.store is None else "store"
        self.orders = Orders(self.feed, self.reader if follows else None, clock, node=self.node, scope=scope)
        self.local = None
        self._follows = follows
        self.trail = None
        if self.store is not None:
            self.trail = Trail(
                self.store.audit,
                None if audit_log == "store" else LineSink(audit_log, command=not follows),
                node=self.node or new_node(clock.now()),
                sign=self.key_file.mac("audit").sign,
                clock=clock,
                retention=audit_retention,
            )
            self.trail.subscribe(self.bus)

    def serve_users(self, keys: LocalKeys, limits: Limits, providers: Mapping[str, Provider] | None = None) -> Local:
        """Take our own users, whom the store keeps, as somebody who may connect, and who signs in with a provider."""
        if self.store is None:
            raise ConfigurationError('users of our own need a store that lasts: store.url = "sqlite:///wsauth.db"')
        self.local = Local(
            self.store,
            key_file=self.key_file,
            clock=self.clock,
            bus=self.bus,
            orders=self.orders,
            keys=keys,
            limits=limits,
            providers=providers or {},
        )
        return self.local

    async def revoke(
        self,
        *,
        issuer: str = "",
        subject: str | None = None,
        session_id: str | None = None,
        token_id: str | None = None,
        leeway: float = 0.0,
        kept: float = KEPT,
        until: float | None = None,
    ) -> Report:
        """Make what one of these names worthless, in all processes, and close what it opened.

        Args:
            issuer: whose subject or token it is.
            subject: everything issued to this identity until now.
            session_id: a session and all that came from it.
            token_id: one token.
            leeway: how far the issuer's clock may be ahead, in seconds.
            kept: how long its credentials may live, in seconds.
            until: the issuer itself tells of what it issued up to then, in seconds since the epoch by its own clock:
                sessions that began with it end too, and no others. By default up to now, and all of ours.
        """
        now, store = self.clock.now(), self.store
        if issuer != OWN_ISSUER:
            kept, leeway = max(kept, self._kept), max(leeway, self._leeway)

        def row(order: str | None) -> NewRow:
            if session_id is not None:
                return NewRow(kind="session", key=session_id, keep_until=now + kept, order=order)
            if token_id is not None:
                return NewRow(kind="token", key=pair_key(issuer, token_id), keep_until=now + kept, order=order)
            value = {"until": now + leeway if until is None else until}
            key = pair_key(issuer, subject or "")
            return NewRow(kind="subject", key=key, value=value, keep_until=now + kept, order=order)

        def event(result: object) -> events.Revoked | None:
            if result is False:  # there is no such session, and nothing was changed
                return None
            named = {"subject": subject, "issuer": issuer or None, "session_id": session_id, "token_id": token_id}
            return events.Revoked(at=now, id="", matched=None, **named)

        async def write(order: str) -> None:
            if store is not None and until is not None:
                await store.sessions.end_at_provider(
                    issuer, row(order), session_id=session_id, subject=subject, until=until
                )
                return
            if store is not None and session_id is not None and await store.sessions.end(session_id, order=order):
                return
            # Whatever was issued to that name before there was such an account is dead before the order is answered.
            if store is not None and subject is not None:
                account = account_of(issuer, subject)
                if await store.users.end_logins(account, order=order, before=row(None)):
                    return
            await self.feed.publish([row(order)])

        with recording(event):
            return await self.orders.give(write)

    async def revoke_all(self) -> Report:
        """Make everything worthless that was issued until now, to anybody, and close every connection."""
        now = self.clock.now()
        event = events.Revoked(at=now, id="", matched=None)
        with recording(lambda _: event):
            until, kept = now + self._leeway, now + self._kept
            return await self.orders.give(lambda order: self.feed.revoke_all(until, kept, order))

    async def open(self) -> None:
        """Open the store, and read the keys.

        Raises:
            ConfigurationError: it cannot be opened, or another key file belongs to it.
        """
        if self.store is None:
            return
        await self.store.open()
        own = self.key_file.fingerprint
        if await self.store.keys.fingerprint(own) != own:
            await self.store.aclose()
            raise ConfigurationError(
                "store.key_file: the store was made with another key file; give the one it was made with"
            )
        if self.trail is not None and self._follows:
            self.trail.start()
        if self.local is not None:
            await self.local.start()

    async def aclose(self) -> None:
        """Let go of the store."""
        if self.local is not None:
            await self.local.aclose()
        if self.trail is not None:
            await asyncio.to_thread(self.trail.close)
        if self.store is not None:
            await self.store.aclose()


def _key_of(store: Store, path: Path) -> KeyFile:
    """Return the key file, made with the store: beside an older store a new key would be of no use."""
    if store.made and not path.exists():
        raise ConfigurationError(
            f"store.key_file: {path} is not there, and the store was made with it; put it back from its backup"
        )
    return KeyFile.open(path)


def _opened(url: str) -> Store:
    try:
        from wsauth.stores import open_store
    except ImportError as error:
        raise ConfigurationError(
            f"store={url!r} needs: pip install 'wsauth[sqlite]' ({error.name} is missing)"
        ) from None
    return open_store(url)
