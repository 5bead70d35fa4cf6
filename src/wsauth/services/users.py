"""Our own users: add, change and remove them, with passwords or API keys."""

import secrets
from base64 import b32encode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

import msgspec

from wsauth.core import events
from wsauth.core.feed import Row
from wsauth.core.passwords import reasons
from wsauth.core.permissions import RESERVED
from wsauth.core.users import User, check_username, fold
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.audit import Recording, recording
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.users import UserStore
from wsauth.services.connections.connections import Report
from wsauth.services.events import Bus
from wsauth.services.feed.orders import Orders
from wsauth.services.keyfile import KeyFile
from wsauth.services.passwords import Passwords, verifiable
from wsauth.services.strength import weaknesses

__all__ = [
    "API_KEY_PREFIX",
    "FIRST_PASSWORD_LIFE",
    "GRANTS",
    "PasswordRejected",
    "PasswordRules",
    "Users",
    "check_roles",
]

API_KEY_PREFIX: Final = "wsk_"
FIRST_PASSWORD_LIFE: Final = 86_400.0
"""Seconds for which a password that we drew may wait to be used first."""
GRANTS: Final = ("wsauth:admin", "wsauth:revoke", "wsauth:tickets", "wsauth:metrics")
_CACHED: Final = 1000


class PasswordRules(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a new password has to be like; lengths in characters (SP 800-63B-4 section 3.1.1.2)."""

    minimum_length: int = 15
    maximum_length: int = 256
    require_classes: int = 0
    minimum_strength: int = 3


class PasswordRejected(Refused):
    """Say why a new password is not acceptable.

    Attributes:
        reasons: in words, for whoever chose it.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("password_rejected", "the new password is not acceptable", mend="[passwords]")
        self.reasons = list(reasons)


class Users:
    """Manage users.

    Args:
        store: remembers them.
        passwords: hashes them.
        key_file: keys the MACs of API keys.
        rules: for new passwords.
        clock: tells the time.
        bus: takes events.
        orders: reaches the sockets of all processes.
    """

    def __init__(
        self,
        store: UserStore,
        passwords: Passwords,
        *,
        key_file: KeyFile,
        rules: PasswordRules,
        clock: Clock,
        bus: Bus,
        orders: Orders,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._mac = key_file.mac("api keys")
        self._rules = rules
        self._clock = clock
        self._bus = bus
        self._orders = orders
        self._by_key: dict[bytes, User] = {}
        self._changes = 0

    # Asking.

    async def get(self, username: str) -> User:
        """Return the user of this name.

        Raises:
            Refused: `not_found`.
        """
        user = await self._store.find(username)
        if user is None:
            raise _unknown(username)
        return user

    async def find(self, username: str) -> User | None:
        """Return the user of this name, if there is one."""
        return await self._store.find(username)

    async def page(self, after: str = "", limit: int = 100) -> Sequence[User]:
        """Return users in the order of their names."""
        return await self._store.page(fold(after), limit)

    async def any(self) -> bool:
        """Tell whether there are users at all."""
        return await self._store.count() > 0

    async def of_key(self, api_key: str) -> User | None:
        """Return the enabled service whose API key this is; remembered until the feed says that it has changed."""
        if not api_key.startswith(API_KEY_PREFIX):
            return None
        tag = self._mac.sign(api_key.encode())
        known = self._by_key.get(tag)
        if known is not None:
            return known
        before = self._changes
        user = await self._store.find_by_key(tag)
        if user is None or user.disabled:
            return None
        # A row that came while the store was read may be about what was read.
        if before == self._changes:
            if len(self._by_key) >= _CACHED:
                self._by_key.clear()
            self._by_key[tag] = user
        return user

    def heed(self, rows: Sequence[Row]) -> None:
        """Forget what rows of the feed have changed."""
        if any(row.kind in ("user", "all") for row in rows):
            self._changes += 1
            self._by_key.clear()

    def check_password(self, password: str, username: str) -> None:
        """Go on only if this may be a user's password.

        Raises:
            PasswordRejected: it may not.
        """
        rules = self._rules
        found = reasons(
            password,
            username=username,
            minimum=rules.minimum_length,
            maximum=rules.maximum_length,
            classes=rules.require_classes,
        )
        if found:
            raise PasswordRejected(found)

    async def hash_password(self, password: str, username: str) -> str:
        """Return the hash of a new password.

        Raises:
            PasswordRejected: it is not acceptable.
        """
        self.check_password(password, username)
        look = partial(weaknesses, password, username, self._rules.minimum_strength)
        found = await self._passwords.workers.run(look)
        if found:
            raise PasswordRejected(found)
        return await self._passwords.hash(password)

    # Changing.

    async def add(self, username: str, password: str, *, roles: Iterable[str] = (), grants: Iterable[str] = ()) -> User:
        """Add a user with a password of their own.

        Raises:
            ConfigurationError: the name, a role or a grant cannot be meant.
            PasswordRejected: the password is not acceptable.
            Refused: `conflict`: the name is taken.
        """
        user = self._new(username, roles, grants)
        hashed = await self.hash_password(password, username)
        return await self._added(msgspec.structs.replace(user, password_hash=hashed))

    async def add_with_first_password(
        self, username: str, *, roles: Iterable[str] = (), grants: Iterable[str] = ()
    ) -> tuple[User, str]:
        """Add a user with a random password, good for a day until it is first used, and return both."""
        user = self._new(username, roles, grants)
        password = _draw_password()
        until = self._clock.now() + FIRST_PASSWORD_LIFE
        hashed = await self._passwords.hash(password)
        return await self._added(msgspec.structs.replace(user, password_hash=hashed, password_until=until)), password

    async def add_service(
        self, username: str, *, roles: Iterable[str] = (), grants: Iterable[str] = ()
    ) -> tuple[User, str]:
        """Add a service, and return it with its API key, which is kept nowhere."""
        user = msgspec.structs.replace(self._new(username, roles, grants), service=True)
        key = _draw_key()
        return await self._added(user, self._mac.sign(key.encode())), key

    async def add_hashed(
        self, username: str, password_hash: str, *, roles: Iterable[str] = (), disabled: bool = False
    ) -> User:
        """Add a user who was known elsewhere, with the Argon2id or bcrypt hash of their password.

        Raises:
            ConfigurationError: it is no such hash, or the name or a role cannot be meant.
            Refused: `conflict`: the name is taken.
        """
        if not verifiable(password_hash):
            raise ConfigurationError(f"{username}: password_hash is neither Argon2id ($argon2id$…) nor bcrypt ($2b$…)")
        user = self._new(username, roles, ())
        return await self._added(msgspec.structs.replace(user, password_hash=password_hash, disabled=disabled))

    async def set_rights(
        self, username: str, *, roles: Iterable[str] | None = None, grants: Iterable[str] | None = None
    ) -> User:
        """Change roles or grants; open connections have them within a second, and stay open if they still may.

        Raises:
            ConfigurationError: a role or grant cannot be meant.
            Refused: `not_found`.
        """
        asked = None if roles is None else check_roles(roles), None if grants is None else _checked_grants(grants)
        with self._recording(username, "rights"):
            changed = await self._store.set_rights(username, *asked)
            if changed is None:
                raise _unknown(username)
            self._orders.poke()
            self._tell(changed.username, "rights")
        return changed

    async def set_password(self, username: str, password: str) -> Report:
        """Give a user another password, as an administrator; every login of theirs ends.

        Raises:
            PasswordRejected: it is not acceptable.
            Refused: `not_found`; or `conflict`: a service has an API key.
        """
        user = await self.get(username)
        _check_person(user)
        hashed = await self.hash_password(password, user.username)
        return await self._order(
            username, "password", lambda order: self._store.set_password(username, hashed, order=order)
        )

    async def reset_password(self, username: str) -> tuple[Report, str]:
        """Give a user a random password, good for a day until it is first used; every login of theirs ends.

        Whoever comes with it can choose another one, and nothing else (ASVS 6.4.1).
        """
        user = await self.get(username)
        _check_person(user)
        password = _draw_password()
        hashed = await self._passwords.hash(password)
        until = self._clock.now() + FIRST_PASSWORD_LIFE
        report = await self._order(
            username,
            "password",
            lambda order: self._store.set_password(username, hashed, until=until, must_change=True, order=order),
        )
        return report, password

    async def reset_key(self, username: str) -> tuple[Report, str]:
        """Give a service another API key, and return it; the old one and what it opened are dead.

        Raises:
            Refused: `not_found`; or `conflict`: it is no service.
        """
        user = await self.get(username)
        if not user.service:
            raise Refused("conflict", f"{user.username} is no service: it has a password")
        key = _draw_key()
        tag = self._mac.sign(key.encode())
        report = await self._order(username, "key", lambda order: self._store.set_key(username, tag, order=order))
        return report, key

    async def disable(self, username: str) -> Report:
        """Let a user in no more, and end every login of theirs."""
        return await self._order(
            username, "disabled", lambda order: self._store.set_disabled(username, True, order=order)
        )

    async def enable(self, username: str) -> User:
        """Let a user in again."""
        with self._recording(username, "enabled"):
            user = await self._store.set_disabled(username, False)
            if user is None:
                raise _unknown(username)
            self._tell(user.username, "enabled")
        return user

    async def remove(self, username: str) -> Report:
        """Forget a user, and end every login of theirs."""

        async def write(order: str) -> bool | None:
            return await self._store.remove(username, order=order) or None

        return await self._order(username, "removed", write)

    # Inside.

    async def _order(self, username: str, what: str, write: Callable[[str], Awaitable[object | None]]) -> Report:
        async def change(order: str) -> None:
            if await write(order) is None:
                raise _unknown(username)

        with self._recording(username, what):
            report = await self._orders.give(change)
            self._tell(username, what)
        return report

    async def _added(self, user: User, key_tag: bytes | None = None) -> User:
        with self._recording(user.username, "added"):
            added = await self._store.add(user, key_tag)
            self._tell(added.username, "added")
        return added

    def _recording(self, username: str, what: str) -> AbstractContextManager[Recording]:
        """Have the change written into the audit log with the transaction that makes it."""
        event = events.UserChanged(at=self._clock.now(), subject=username, what=what)
        return recording(lambda found: event if found else None)

    def _tell(self, username: str, what: str) -> None:
        self._bus.publish(events.UserChanged(at=self._clock.now(), subject=username, what=what))

    def _new(self, username: str, roles: Iterable[str], grants: Iterable[str]) -> User:
        return User(
            username=check_username(username),
            roles=check_roles(roles),
            grants=_checked_grants(grants),
            created_at=self._clock.now(),
        )


def check_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """Return the roles, each once, when a user may have them.

    Raises:
        ConfigurationError: one of them cannot be meant.
    """
    listed = tuple(dict.fromkeys(roles))
    for name in listed:
        if not name or not name.isprintable() or "," in name or "*" in name or name.startswith(RESERVED):
            raise ConfigurationError(f"role {name!r}: a name without commas, stars and {RESERVED} in front")
    return listed


def _checked_grants(grants: Iterable[str]) -> tuple[str, ...]:
    listed = tuple(dict.fromkeys(grants))
    for grant in listed:
        if grant not in GRANTS:
            raise ConfigurationError(f"grant {grant!r} is not one of {', '.join(GRANTS)}")
    return listed


def _check_person(user: User) -> None:
    if user.service:
        raise Refused("conflict", f"{user.username} is a service: it has an API key and no password")


def _unknown(username: str) -> Refused:
    return Refused("not_found", f"there is no user {username!r}")


def _draw_key() -> str:
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def _draw_password() -> str:
    """Return 100 random bits that can be read out: 20 characters of base32 in groups of five."""
    text = b32encode(secrets.token_bytes(15)).decode().lower()[:20]
    return "-".join(text[at : at + 5] for at in range(0, 20, 5))
