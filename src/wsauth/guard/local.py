"""Our own users behind a guard: their passwords, sessions, tokens and keys, put together."""

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

import msgspec

from wsauth.core import events
from wsauth.core.feed import Row
from wsauth.core.identity import Identity, is_ours
from wsauth.core.lockout import Policy
from wsauth.core.peers import Network
from wsauth.core.sessions import Limits
from wsauth.core.throttling import Rate
from wsauth.core.users import User
from wsauth.interfaces.audit import recording
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.provider import Provider
from wsauth.interfaces.store import Store
from wsauth.services.assertions import Assertions
from wsauth.services.blocking import Blocking
from wsauth.services.connections.connections import Connections
from wsauth.services.events import Bus
from wsauth.services.feed.follower import Follower
from wsauth.services.feed.orders import Orders
from wsauth.services.keyfile import KeyFile
from wsauth.services.lockout import Lockout
from wsauth.services.passwords import Passwords
from wsauth.services.sessions import Sessions
from wsauth.services.signing import SigningKeys
from wsauth.services.tokens import AccessTokens
from wsauth.services.transactions import Transactions
from wsauth.services.users import PasswordRules, Users
from wsauth.verifiers.local import LocalVerifier

__all__ = ["Local", "LocalKeys"]


class LocalKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Say what our own tokens and passwords are like.

    Attributes:
        issuer: `iss` of access tokens.
        audience: `aud` of access tokens.
        algorithm: which signs them.
        secure: browsers reach us by https.
        rules: for new passwords.
        lockout: when a password may be tried.
        exempt: networks that are not counted by address.
        block_after: how many distinct guesses block an address.
        block_for: seconds that such a block lasts.
    """

    issuer: str
    audience: str = "wsauth"
    algorithm: str = "EdDSA"
    secure: bool = False
    rules: PasswordRules = PasswordRules()
    lockout: Policy = Policy()
    exempt: tuple[Network, ...] = ()
    block_after: Rate | None = None
    block_for: float = 3600.0


class Local:
    """Hold the services that are about our own users."""

    def __init__(
        self,
        store: Store,
        *,
        key_file: KeyFile,
        clock: Clock,
        bus: Bus,
        orders: Orders,
        keys: LocalKeys,
        limits: Limits,
        providers: Mapping[str, Provider],
    ) -> None:
        self.limits = limits
        self.providers = providers
        self.transactions = Transactions(store.tickets, key_file, limits, clock)
        self.secure = keys.secure
        self.passwords = Passwords()
        self.lockout = Lockout(keys.lockout, store.counters, key_file=key_file, clock=clock, exempt=keys.exempt)
        self.signing = SigningKeys(store.keys, key_file, keys.algorithm, clock)
        self.tokens = AccessTokens(self.signing, keys.issuer, keys.audience, limits.access, clock)
        self.assertions = Assertions(self.signing, keys.issuer, clock)
        self.users = Users(
            store.users,
            self.passwords,
            key_file=key_file,
            rules=keys.rules,
            clock=clock,
            bus=bus,
            orders=orders,
        )
        self.blocking = Blocking(store.blocks, after=keys.block_after, lasts=keys.block_for, clock=clock, bus=bus)
        self.sessions = Sessions(
            store.users,
            store.sessions,
            passwords=self.passwords,
            lockout=self.lockout,
            key_file=key_file,
            limits=limits,
            clock=clock,
            bus=bus,
            orders=orders,
            providers=providers,
            guessed=self.blocking.guessed,
        )
        self.verifier = LocalVerifier(self.tokens, self.sessions, self.users, secure=keys.secure)
        self._store = store
        self._bus = bus
        self._clock = clock
        self._follower: Follower | None = None
        bus.subscribe(events.Closed, self._closed)

    async def start(self) -> None:
        """Read the signing keys, of which the first start makes one, and who is blocked."""
        await self.signing.load()
        await self.blocking.load()

    async def aclose(self) -> None:
        """Check no more passwords, and ask no more providers."""
        await self.sessions.aclose()
        await self.passwords.aclose()

    async def unlock(self, username: str) -> User:
        """Forget the failed logins of a user, from everywhere, and return the user.

        Raises:
            Refused: `not_found`.
        """
        user = await self.users.get(username)
        event = events.UserChanged(at=self._clock.now(), subject=user.username, what="unlocked")
        with recording(lambda _: event):
            await self.lockout.unlock(user.username)
            self._bus.publish(event)
        return user

    def follow(self, follower: Follower, connections: Connections) -> None:
        """Heed the feed, and what becomes of connections."""
        self._follower = follower
        connections.on_stray = self._stray
        self.blocking.follow(follower, connections)
        follower.subscribe(self._heed)
        follower.reread("keys", partial(self.signing.load, make=False))
        follower.every_minute(self._prune)

    def _heed(self, rows: Sequence[Row]) -> None:
        self.sessions.heed(rows)
        self.users.heed(rows)

    async def _prune(self) -> None:
        await self._store.sessions.prune(self.limits, self._clock.now())
        await self.lockout.prune()
        await self.blocking.prune()

    def _closed(self, event: events.Closed) -> Awaitable[None] | None:
        """Forget the session that a connection had for itself, also while the process ends; most had none."""
        identity = event.identity
        if identity is None or not _has_own(identity):
            return None
        return self.sessions.drop(str(identity.session_id))

    def _stray(self, identity: Identity) -> None:
        """Forget the session that a password opened for a connection which does not have it."""
        if _has_own(identity) and self._follower is not None:
            self._follower.spawn(self.sessions.drop(str(identity.session_id)))


def _has_own(identity: Identity) -> bool:
    return is_ours(identity) and identity.claims.get("kind") == "connection"
