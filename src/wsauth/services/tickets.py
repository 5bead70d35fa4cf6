"""Tickets: single-use, seconds long, bound to a path and an origin.

They are signed, not stored: making one costs the store nothing. Using one is written down before the handshake is
answered, so that it is used once, whatever happens to this process.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from typing import Any, Final

import msgspec

from wsauth.core.identity import ACCOUNT, NOBODY, OWN_ISSUER, Identity, is_ours
from wsauth.core.sessions import Limits
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.tickets import TicketStore
from wsauth.services.keyfile import KeyFile

__all__ = ["MemoryTicketStore", "SignedTickets", "Ticket"]

_MEMORY_LIMIT: Final = 100_000
_LONGEST: Final = 8192
"""Characters of a ticket; it stands in a URL."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """Be what a ticket says: its id and end, and the identity that it lets in."""

    id: str
    expires_at: float
    issuer: str
    subject: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    grants: tuple[str, ...]
    until: float | None
    session_id: str | None
    token_id: str | None
    auth_time: float | None
    claims: dict[str, Any]
    path: str | None
    origin: str | None


class SignedTickets:
    """Make and redeem tickets.

    Args:
        store: remembers which were used.
        key_file: signs.
        limits: of sessions; a ticket is as dead as the session it came from.
        clock: tells the time.
        ttl: seconds that a ticket lives.
    """

    def __init__(self, store: TicketStore, key_file: KeyFile, limits: Limits, clock: Clock, ttl: float) -> None:
        self._store = store
        self._mac = key_file.mac("tickets")
        self._limits = limits
        self._clock = clock
        self.ttl = ttl

    async def issue(self, identity: Identity, path: str | None, origin: str | None, ttl: float | None = None) -> str:
        """Return a ticket for the identity, with 192 bits from the system's CSPRNG.

        Raises:
            ConfigurationError: it is for no `Identity`, or would be too long for a URL.
            Refused: `token_expired`: the identity's own credential has ended.
        """
        if not isinstance(identity, Identity) or identity is NOBODY:
            raise ConfigurationError(f"a ticket is for somebody, not for {identity!r}")
        now = self._clock.now()
        if identity.expires_at is not None and identity.expires_at <= now:
            raise Refused("token_expired", f"a ticket was asked for {identity}, whose credential has ended")
        ticket = Ticket(
            id=secrets.token_urlsafe(24),
            expires_at=now + (self.ttl if ttl is None else ttl),
            issuer=identity.issuer,
            subject=identity.subject,
            roles=identity.roles,
            permissions=identity.permissions,
            grants=identity.grants,
            until=identity.expires_at,
            session_id=identity.session_id,
            token_id=identity.token_id,
            auth_time=identity.auth_time,
            claims=_claims(identity, now),
            path=path,
            origin=origin,
        )
        try:
            payload = msgspec.json.encode(ticket)
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise ConfigurationError(f"a ticket for {identity}: its claims are not plain JSON") from None
        text = f"{_encoded(payload)}.{_encoded(self._mac.sign(payload))}"
        if len(text) > _LONGEST:
            raise ConfigurationError(f"a ticket for {identity} would have {len(text)} characters: leave out claims")
        return text

    async def redeem(self, ticket: str, path: str, origin: str) -> Identity:
        """Return whose ticket it is; whatever the answer, a ticket of ours is spent.

        Raises:
            Refused: `ticket_invalid`, or `unavailable`: it could not be spent.
        """
        found = self.opened(ticket)
        now = self._clock.now()
        if now >= found.expires_at:
            raise Refused("ticket_invalid", "the ticket has expired", mend="ticket_ttl")
        own = "epoch" in found.claims and (found.issuer == OWN_ISSUER or ACCOUNT in found.claims)
        # A live session is as of its user's epoch, also where that has moved on since the ticket was made.
        by_user = own and found.session_id is None
        burnt = await self._store.burn(
            found.id,
            found.expires_at,
            self._limits,
            now,
            session_id=found.session_id if own else None,
            subject=found.subject if by_user else None,
            epoch=found.claims["epoch"] if by_user else None,
        )
        if not burnt:
            raise Refused("ticket_invalid", "the ticket was used before, or its session has ended")
        if found.path is not None and found.path != path:
            raise Refused("ticket_invalid", "the ticket was made for another path")
        if found.origin is not None and found.origin.lower() != origin.lower():
            raise Refused("ticket_invalid", "the ticket was made for another origin")
        return Identity(
            found.subject,
            issuer=found.issuer,
            roles=found.roles,
            permissions=found.permissions,
            grants=found.grants,
            expires_at=found.until,
            session_id=found.session_id,
            token_id=found.token_id,
            auth_time=found.auth_time,
            claims=found.claims,
        )

    def opened(self, ticket: str) -> Ticket:
        """Return what a ticket of ours says, without using it.

        Raises:
            Refused: `ticket_invalid`: it is none of ours.
        """
        if len(ticket) <= _LONGEST:
            payload, _, tag = ticket.partition(".")
            signed, presented = _decoded(payload), _decoded(tag)
            if signed and presented and self._mac.check(signed, presented):
                return msgspec.json.decode(signed, type=Ticket)
        raise Refused("ticket_invalid", "the ticket is none of ours")


class MemoryTicketStore:
    """Remember which tickets were used, in this process."""

    def __init__(self) -> None:
        self._used: OrderedDict[str, float] = OrderedDict()

    async def burn(
        self,
        ticket_id: str,
        expires_at: float,
        limits: Limits,
        now: float,
        *,
        session_id: str | None = None,
        subject: str | None = None,
        epoch: int | None = None,
    ) -> bool:
        """Spend a ticket; tells whether it was unused. Sessions are kept elsewhere, if at all."""
        if ticket_id in self._used:
            return False
        while self._used and next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)
        if len(self._used) >= _MEMORY_LIMIT:
            raise Refused("unavailable", f"{_MEMORY_LIMIT} tickets were used lately", retry_after=1)
        self._used[ticket_id] = expires_at
        return True


def _claims(identity: Identity, now: float) -> dict[str, Any]:
    """Return the claims of a ticket: with an `iat`, so that a later revocation counts it as made before.

    Of ours the `kind` is its own: what a ticket opens is not the connection that asked for it, nor a key.
    """
    own = {"kind": "ticket"} if is_ours(identity) else {}
    return {"iat": now, **identity.claims, **own}


def _encoded(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        value = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        return b""
    return value if _encoded(value) == text else b""
