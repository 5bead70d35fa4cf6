"""Sessions: made by a password, carried on by a refresh token or a cookie, ended by many things."""

import secrets
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from wsauth.core import events
from wsauth.core.feed import Row
from wsauth.core.identity import ACCOUNT, OWN_ISSUER, Identity, account_of
from wsauth.core.sessions import (
    COOKIE_PREFIX,
    REFRESH_PREFIX,
    Limits,
    Proof,
    Session,
    SessionKind,
    SignIn,
    proof_message,
    read_proof,
    write_proof,
)
from wsauth.core.tokens.envelope import shown
from wsauth.core.users import User, demands
from wsauth.errors import Refused
from wsauth.interfaces.audit import recording
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.provider import Provider, Said
from wsauth.interfaces.sessions import Known, Refreshed, SessionStore
from wsauth.interfaces.users import UserStore
from wsauth.services.events import Bus
from wsauth.services.feed.orders import Orders
from wsauth.services.keyfile import KeyFile
from wsauth.services.lockout import Lockout
from wsauth.services.passwords import Passwords
from wsauth.services.vouching import Vouching

__all__ = ["Sessions", "identity_of"]

_CACHED: Final = 10_000
_CSRF: Final = "csrf"
_FAILED: Final = frozenset({"credentials_invalid", "account_locked"})


class Sessions:
    """Open, prove, carry on and end sessions.

    Args:
        users: whose.
        sessions: remembers them.
        passwords: checks them, in a bounded pool.
        lockout: says how often they may be tried.
        key_file: makes the proofs.
        limits: how long sessions live.
        clock: tells the time.
        bus: takes events.
        orders: reaches the sockets of all processes.
        providers: at which sessions begin, by their names.
        guessed: is told of each wrong password and where it came from.
    """

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        *,
        passwords: Passwords,
        lockout: Lockout,
        key_file: KeyFile,
        limits: Limits,
        clock: Clock,
        bus: Bus,
        orders: Orders,
        providers: Mapping[str, Provider] = MappingProxyType({}),
        guessed: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self.limits = limits
        self._guessed = guessed
        self._vouching = Vouching(providers, sessions, self.end, key_file=key_file, limits=limits, clock=clock)
        self._users = users
        self._sessions = sessions
        self._passwords = passwords
        self._lockout = lockout
        self._mac = key_file.mac("session proofs")
        self._clock = clock
        self._bus = bus
        self._orders = orders
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._changes = 0

    async def aclose(self) -> None:
        """Ask no more providers."""
        await self._vouching.aclose()

    # Opening.

    async def login(
        self,
        username: str,
        password: str,
        kind: SessionKind,
        *,
        address: str = "",
        agent: str = "",
        device: str = "",
    ) -> Known:
        """Open a session for whoever has this password.

        Raises:
            Refused: as `authenticate`.
        """
        user = await self.authenticate(username, password, address=address, device=device)
        now = self._clock.now()
        session = self._new(user.username, kind, epoch=user.epoch, address=address, agent=agent)
        known = Known(session, user)
        logged_in = events.LoggedIn(at=now, identity=identity_of(known, self.limits), address=address)
        with recording(lambda opened: logged_in if opened else None):
            if not await self._sessions.open(session):
                raise _no(user, "they were changed meanwhile")
            self._bus.publish(logged_in)
        return known

    async def sign_in(
        self,
        said: Said,
        kind: SessionKind,
        provider: Provider,
        *,
        seen: int,
        address: str = "",
        agent: str = "",
    ) -> Known:
        """Open a session for whom a provider has named.

        Args:
            said: what the provider said.
            kind: what holds the session.
            provider: the one.
            seen: the number of the feed's newest row before it was asked.
            address: from where.
            agent: with which program.

        Raises:
            Refused: `session_revoked`: the login was ended meanwhile.
        """
        whom, token = said.whom, said.refresh_token
        session = self._new(
            whom.subject,
            kind,
            issuer=whom.issuer,
            address=address,
            agent=agent,
            provider=provider.name,
            vouched_until=None if token is None else self._clock.now() + provider.recheck,
            auth_time=said.auth_time,
            acr=said.acr,
        )
        kept = SignIn(
            roles=whom.roles,
            session_id=said.session_id,
            issued_at=said.issued_at,
            seen=seen,
            refresh_token=None if token is None else self._vouching.wrapped(session.id, token),
        )

        def event(known: Known | None) -> events.LoggedIn | None:
            if known is None:
                return None
            return events.LoggedIn(at=session.created_at, identity=identity_of(known, self.limits), address=address)

        with recording(event):
            known = await self._sessions.sign_in(session, kept)
            logged_in = event(known)
            if known is None or logged_in is None:
                raise Refused("session_revoked", f"the login of {whom} was ended while they signed in")
            self._bus.publish(logged_in)
        return known

    def _new(self, subject: str, kind: SessionKind, **more: Any) -> Session:
        now = self._clock.now()
        named = {"epoch": 0, **more}
        return Session(
            id=secrets.token_hex(20),
            subject=subject,
            kind=kind,
            generation=0,
            generation_at=now,
            created_at=now,
            refreshed_at=now,
            **named,
        )

    async def authenticate(self, username: str, password: str, *, address: str = "", device: str = "") -> User:
        """Return whose password it is, without opening a session.

        Unknown users, wrong passwords and disabled users get the same answer in the same time (ASVS 6.3.8).

        Args:
            username: as typed.
            password: as typed.
            address: from where.
            device: the cookie by which a device is known, or empty.

        Raises:
            Refused: `credentials_invalid`; `account_locked` or `rate_limited`: it may not be tried now; or
                `unavailable`: too many are waiting.
        """
        self._passwords.workers.check()
        try:
            async with self._lockout.attempt(username, address, device):
                return await self._checked(username, password)
        except Refused as error:
            if error.code == "credentials_invalid":
                self._guessed(address, f"{username} {password}")
            if error.code in _FAILED:
                await self._tell_failure(username, address, error.code)
            raise

    async def _tell_failure(self, username: str, address: str, code: str) -> None:
        """Tell of a failed login, also of one that was not looked at; whose name it was is looked up for all alike."""
        user = await self._users.find(username)
        self._bus.publish(
            events.LoginFailed(
                at=self._clock.now(),
                account=self._lockout.account(username),
                subject=None if user is None else user.username,
                address=address,
                code=code,
            )
        )

    async def _checked(self, username: str, password: str) -> User:
        user = await self._users.find(username)
        usable = user is not None and not user.disabled and not user.service and user.password_hash
        if user is not None and user.password_until is not None and user.password_until <= self._clock.now():
            usable = False
        verdict = await self._passwords.verify(password, user.password_hash if user is not None and usable else None)
        if user is None or not usable or not verdict.good:
            raise _no(user, "the password is wrong, or it is a service, disabled, or too late for a first password")
        if verdict.rehash is not None or user.password_until is not None:
            await self._users.use_password(user.username, user.password_hash, verdict.rehash or user.password_hash)
        return user

    # Proofs.

    def refresh_token(self, session: Session) -> str:
        """Return the refresh token of the session's generation."""
        return self._proof(REFRESH_PREFIX, session)

    def cookie(self, session: Session) -> str:
        """Return the value of the session's cookie."""
        return self._proof(COOKIE_PREFIX, session)

    def csrf_token(self, session_id: str) -> str:
        """Return what a page must show with the cookie; nobody can make it who can only set cookies."""
        return urlsafe_b64encode(self._mac.sign(f"{_CSRF}.{session_id}".encode())).rstrip(b"=").decode()

    def is_csrf_token(self, session_id: str, presented: str) -> bool:
        """Tell whether it is the session's."""
        return secrets.compare_digest(presented.encode(), self.csrf_token(session_id).encode())

    def _proof(self, prefix: str, session: Session) -> str:
        tag = self._mac.sign(proof_message(prefix, session.id, session.generation))
        return write_proof(prefix, session.id, session.generation, tag)

    def is_ours(self, proof: Proof) -> bool:
        """Tell whether we made a proof, whatever has become of its session."""
        return self._mac.check(proof.message, proof.tag)

    # Going on.

    async def refresh(self, refresh_token: str, *, address: str = "") -> Known:
        """Take a refresh token, and return its session, moved on: its token is the next one.

        Args:
            refresh_token: as it was presented.
            address: from where.

        Raises:
            Refused: `token_invalid`: it is none of ours; `session_revoked`: the session is over, or it ends now, since
                the token was used before (RFC 9700 section 4.14).
        """
        proof = read_proof(refresh_token, REFRESH_PREFIX)
        if proof is None or not self.is_ours(proof):
            raise Refused("token_invalid", "it is no refresh token of ours")
        now = self._clock.now()
        # Before the token moves on: whoever is told to come again comes with this one.
        await self._vouch_first(proof.session_id)

        def reused(done: Refreshed) -> events.TokenReused | None:
            if done.outcome != "reused":
                return None
            return events.TokenReused(
                at=now, subject=done.subject, issuer=done.issuer, session_id=proof.session_id, address=address
            )

        with recording(reused):
            done = await self._sessions.refresh(proof.session_id, proof.generation, self.limits, now)
            event = reused(done)
            if event is not None:
                self._bus.publish(event)
        if event is not None:
            raise Refused("session_revoked", "an old refresh token came back, so its session was ended")
        if done.known is None or done.known.session.kind != "tokens":
            raise Refused("session_revoked", "the session of the refresh token has ended")
        return await self._vouched(done.known)

    async def touch(self, session_id: str, generation: int) -> Known:
        """Begin the idle time of a cookie's session anew.

        Raises:
            Refused: `session_revoked`: it has ended.
        """
        await self._vouch_first(session_id)
        now = self._clock.now()
        known = await self._sessions.touch(session_id, self.limits, now, generation=generation)
        if known is None:
            raise Refused("session_revoked", "the session of the cookie has ended")
        self._known.pop(session_id, None)
        return await self._vouched(known)

    async def of(self, subject: str, issuer: str = OWN_ISSUER) -> Sequence[Session]:
        """Return somebody's live sessions, the newest first."""
        return await self._sessions.of(account_of(issuer, subject), self.limits, self._clock.now())

    async def page(self, after: str = "", limit: int = 100) -> Sequence[Session]:
        """Return live sessions in the order of their ids."""
        return await self._sessions.page(after, limit, self.limits, self._clock.now())

    async def of_cookie(self, value: str, *, vouched: bool = True) -> Known | None:
        """Return the live session that a cookie's value proves; `None` when it proves nothing.

        Args:
            value: of the cookie.
            vouched: its provider, where it has one, has to vouch for it; not for those who only want to end it.

        Raises:
            Refused: `session_revoked`: it has ended; or `unavailable`: its provider does not answer.
        """
        proof = read_proof(value, COOKIE_PREFIX)
        if proof is None or not self.is_ours(proof):
            return None
        known = await self.find(proof.session_id)
        if known is not None and known.session.generation < proof.generation:
            # We made a later one, perhaps in another process, whose row has not come yet.
            self._known.pop(proof.session_id, None)
            known = await self.find(proof.session_id)
        if known is None or known.session.kind != "cookie" or known.session.generation != proof.generation:
            raise Refused("session_revoked", "the session of the cookie has ended")
        return await self._vouched(known) if vouched else known

    async def _vouch_first(self, session_id: str) -> None:
        """Ask the provider of a session, where there are any, so that the next lease can be a whole one."""
        held = await self.find(session_id) if self._vouching.providers else None
        if held is not None:
            await self._vouched(held, self.limits.access)

    async def _vouched(self, known: Known, ahead: float = 0.0) -> Known:
        """Return a session for which its provider, where it has one, vouches so many seconds ahead.

        Raises:
            Refused: as `Vouching.ensured`.
        """
        found = await self._vouching.ensured(known, ahead)
        if found is not known:
            self._known.pop(known.session.id, None)
        return found

    async def find(self, session_id: str) -> Known | None:
        """Return a live session: from memory, where the feed has said nothing against it, else from the store."""
        now = self._clock.now()
        known = self._known.get(session_id)
        if known is not None and now < self.limits.ends_at(known.session):
            return known
        before = self._changes
        known = await self._sessions.find(session_id, self.limits, now)
        # A row that came while the store was read may be about what was read.
        if known is not None and before == self._changes:
            self._known[session_id] = known
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return known

    def heed(self, rows: Sequence[Row]) -> None:
        """Forget what rows of the feed have changed."""
        about = {row.kind for row in rows}
        if not about & {"session", "user", "all"}:
            return
        self._changes += 1
        if "all" in about:
            self._known.clear()
            return
        ended = {row.key for row in rows if row.kind == "session"}
        changed = {row.key for row in rows if row.kind == "user"}
        for session_id in [
            session_id
            for session_id, known in self._known.items()
            if session_id in ended or known.user.username in changed
        ]:
            del self._known[session_id]

    # Ending.

    async def end(self, session_id: str, *, subject: str | None = None, issuer: str = OWN_ISSUER) -> bool:
        """End a session, of that person if one is named; its sockets are closed, or cut, when this returns.

        Returns:
            Whether there was one.
        """
        found = False
        account = None if subject is None else account_of(issuer, subject)

        async def write(order: str) -> None:
            nonlocal found
            found = await self._sessions.end(session_id, account=account, order=order)
            if not found:
                raise _NothingToDo

        named = {"subject": subject, "issuer": None if subject is None else issuer}
        ended = events.SessionEnded(at=self._clock.now(), session_id=session_id, **named)
        with recording(lambda there: ended if there else None):
            if await self._ordered(write):
                self._bus.publish(ended)
        return found

    async def drop(self, session_id: str) -> None:
        """Forget the session of a connection that is gone."""
        await self._sessions.end(session_id)

    async def end_all(self, subject: str, issuer: str = OWN_ISSUER) -> bool:
        """End every login of somebody; tells whether there is such an account."""
        account = account_of(issuer, subject)
        return await self._ordered_change(lambda order: self._users.end_logins(account, order=order))

    async def change_password(self, user: User, old: str, new_hash: Callable[[], Awaitable[str]], carry: str) -> Known:
        """Change a password of somebody who knows the old one; every session but the one with the id `carry` ends.

        Returns:
            The carried session as it is now.

        Raises:
            Refused: `credentials_invalid`: the old password is wrong; `conflict`: something else changed meanwhile.
        """
        async with self._lockout.attempt(user.username, "", carry):
            verdict = await self._passwords.verify(old, user.password_hash or None)
            if not verdict.good:
                raise _no(user, "the current password is wrong")
        hashed = await new_hash()
        event = events.PasswordChanged(at=self._clock.now(), subject=user.username)
        with recording(lambda found: None if found is None else event):
            changed = await self._ordered_change(
                lambda order: self._users.set_password(
                    user.username,
                    hashed,
                    seen_epoch=user.epoch,
                    carry=carry,
                    order=order,
                )
            )
            if not changed:
                raise Refused("conflict", "the user or the session changed meanwhile")
            self._bus.publish(event)
        carried = await self._sessions.find(carry, self.limits, self._clock.now())
        if carried is None:
            raise Refused("session_revoked", "the session ended right after the password was changed")
        return carried

    async def _ordered_change(self, write: Callable[[str], Awaitable[User | None]]) -> bool:
        async def change(order: str) -> None:
            if await write(order) is None:
                raise _NothingToDo

        return await self._ordered(change)

    async def _ordered(self, write: Callable[[str], Awaitable[None]]) -> bool:
        try:
            await self._orders.give(write)
        except _NothingToDo:
            return False
        return True


class _NothingToDo(Exception):
    pass


def _no(user: User | None, why: str) -> Refused:
    """Refuse a login. Who nobody knows is not named: people type passwords where names belong."""
    if user is None:
        return Refused("credentials_invalid", "no login: there is no user of that name")
    return Refused("credentials_invalid", f"no login as {shown(user.username)}: {why}")


def identity_of(known: Known, limits: Limits) -> Identity:
    """Return whom a session is, until it ends."""
    session, user = known.session, known.user
    claims = {
        "iat": session.refreshed_at,
        "epoch": user.epoch,
        "kind": session.kind,
        "generation": session.generation,
        **({"acr": session.acr} if session.acr else {}),
        **demands(user),
    }
    return Identity(
        user.subject,
        issuer=user.issuer,
        roles=user.roles,
        grants=user.grants,
        expires_at=limits.stands_until(session),
        session_id=session.id,
        auth_time=session.proved_at,
        claims=claims if user.issuer == OWN_ISSUER else {**claims, ACCOUNT: True},
    )
