"""The services over a real store, with cheap hashes and a clock that the test moves."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.issuing import SteppedClock
from wsauth.core.events import Event, PasswordChanged, SessionEnded, TokenReused, UserChanged
from wsauth.core.feed import Row
from wsauth.core.lockout import Policy
from wsauth.core.sessions import Limits
from wsauth.core.users import User
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known
from wsauth.services.events import Bus
from wsauth.services.feed.orders import Orders
from wsauth.services.keyfile import KeyFile
from wsauth.services.lockout import Lockout
from wsauth.services.passwords import Passwords
from wsauth.services.sessions import Sessions
from wsauth.services.signing import SigningKeys
from wsauth.services.tickets import SignedTickets
from wsauth.services.tokens import AccessTokens
from wsauth.services.users import PasswordRules, Users
from wsauth.stores.sqlite.store import SQLiteStore

__all__ = ["CHANGED", "HOUR", "ISSUER", "LIMITS", "PASSWORD", "Ground", "ground", "refused", "row"]

ISSUER = "http://wsauth.test"
HOUR = 3600.0
LIMITS = Limits(access=300.0, idle=7 * 86_400.0, absolute=30 * 86_400.0, grace=20.0)
PASSWORD = "correct horse battery staple"
CHANGED = "quite another horse battery"
_KINDS: tuple[type[Event], ...] = (PasswordChanged, SessionEnded, TokenReused, UserChanged)


class Ground:
    """Be the services of one process.

    Attributes:
        told: the events about users and sessions, in order.
    """

    def __init__(self, store: SQLiteStore, key_file: KeyFile, clock: SteppedClock, algorithm: str = "EdDSA") -> None:
        self.store = store
        self.clock = clock
        self.key_file = key_file
        self.told: list[Event] = []
        bus = Bus()
        for kind in _KINDS:
            bus.subscribe(kind, self.told.append)
        self.passwords = Passwords(memory_cost=8, time_cost=1)
        orders = Orders(store.feed, None, clock)
        self.users = Users(
            store.users,
            self.passwords,
            key_file=key_file,
            rules=PasswordRules(),
            clock=clock,
            bus=bus,
            orders=orders,
        )
        self.lockout = Lockout(Policy(), store.counters, key_file=key_file, clock=clock)
        self.sessions = Sessions(
            store.users,
            store.sessions,
            passwords=self.passwords,
            lockout=self.lockout,
            key_file=key_file,
            limits=LIMITS,
            clock=clock,
            bus=bus,
            orders=orders,
        )
        self.signing = SigningKeys(store.keys, key_file, algorithm, clock)
        self.tokens = AccessTokens(self.signing, ISSUER, "wsauth", LIMITS.access, clock)
        self.tickets = SignedTickets(store.tickets, key_file, LIMITS, clock, 30.0)

    async def alice(self) -> User:
        """Add Alice, an owner."""
        return await self.users.add("Alice", PASSWORD, roles=["owner"])

    async def change_password(self, known: Known, old: str = PASSWORD, new: str = CHANGED) -> Known:
        """Change the password of a session's user as this session asks."""

        async def hashed() -> str:
            return await self.users.hash_password(new, known.user.username)

        return await self.sessions.change_password(known.user, old, hashed, known.session.id)

    def access(self, known: Known) -> str:
        """Return an access token of a session."""
        return self.tokens.issue(known.user, known.session, LIMITS.ends_at(known.session))[0]


@asynccontextmanager
async def ground(
    folder: Path, clock: SteppedClock | None = None, *, key: KeyFile | None = None, algorithm: str = "EdDSA"
) -> AsyncGenerator[Ground]:
    """Open the services over the store in a folder."""
    store = SQLiteStore(folder / "wsauth.db")
    await store.open()
    it = Ground(store, key or KeyFile.open(folder / "wsauth.key"), clock or SteppedClock(), algorithm)
    await it.signing.load()
    try:
        yield it
    finally:
        await it.passwords.aclose()
        await store.aclose()


async def refused(work: Awaitable[object]) -> str:
    """Return the code with which it is refused."""
    with pytest.raises(Refused) as no:
        await work
    return no.value.code


def row(kind: str, key: str = "", *, seq: int = 1, at: float = 0.0, keep_until: float = 4e9, **value: object) -> Row:
    """Return a row of the feed."""
    return Row(kind=kind, key=key, value=value, keep_until=keep_until, seq=seq, at=at)  # type: ignore[arg-type]  # any text may come from a store
