"""Tickets: single-use, seconds long, bound to a path and an origin. In memory, so good in one process."""

import secrets

import msgspec

from wsauth.core.identity import Identity
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock

__all__ = ["Tickets"]

_LIMIT = 100_000


class _Ticket(msgspec.Struct, frozen=True):
    identity: Identity
    path: str | None
    origin: str | None
    expires_at: float


class Tickets:
    """Hold the tickets that were issued and not yet used.

    Args:
        clock: tells the time.
        ttl: seconds a ticket lives.
    """

    def __init__(self, clock: Clock, ttl: float) -> None:
        self._clock = clock
        self._ttl = ttl
        self._tickets: dict[str, _Ticket] = {}

    def issue(self, identity: Identity, path: str | None, origin: str | None) -> str:
        """Return a ticket for the identity, 256 bits from the system's CSPRNG.

        Raises:
            Refused: `unavailable`: too many unused tickets, or the identity's own credential has ended.
        """
        if not isinstance(identity, Identity):
            raise ConfigurationError(f"a ticket is for an Identity, not for {identity!r}")
        now = self._clock.now()
        if identity.expires_at is not None and identity.expires_at <= now:
            raise Refused("token_expired", f"a ticket was asked for {identity}, whose credential has ended")
        self._forget(now)
        if len(self._tickets) >= _LIMIT:
            raise Refused("unavailable", f"{_LIMIT} tickets are unused", retry_after=self._ttl)
        ticket = secrets.token_urlsafe(32)
        self._tickets[ticket] = _Ticket(_dated(identity, now), path, origin, now + self._ttl)
        return ticket

    def redeem(self, ticket: str, path: str, origin: str) -> Identity:
        """Return whose ticket it is; whatever the answer, it is spent.

        Raises:
            Refused: `ticket_invalid`.
        """
        found = self._tickets.pop(ticket, None)
        if found is None:
            raise Refused("ticket_invalid", "the ticket is unknown or was used before")
        if self._clock.now() >= found.expires_at:
            raise Refused("ticket_invalid", "the ticket has expired", mend="ticket_ttl")
        if found.path is not None and found.path != path:
            raise Refused("ticket_invalid", "the ticket was made for another path")
        if found.origin is not None and found.origin.lower() != origin.lower():
            raise Refused("ticket_invalid", "the ticket was made for another origin")
        return found.identity

    def _forget(self, now: float) -> None:
        """Drop what has expired; the oldest come first, since all live equally long."""
        while self._tickets:
            oldest = next(iter(self._tickets))
            if self._tickets[oldest].expires_at > now:
                return
            del self._tickets[oldest]


def _dated(identity: Identity, now: float) -> Identity:
    """Return the identity with an `iat`, so that a later revocation counts the ticket as made before it."""
    if "iat" in identity.claims:
        return identity
    return Identity(
        identity.subject,
        issuer=identity.issuer,
        roles=identity.roles,
        permissions=identity.permissions,
        expires_at=identity.expires_at,
        session_id=identity.session_id,
        token_id=identity.token_id,
        auth_time=identity.auth_time,
        claims={**identity.claims, "iat": now},
    )
