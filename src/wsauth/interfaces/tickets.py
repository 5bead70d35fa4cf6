"""Single-use tickets."""

from typing import Protocol

from wsauth.core.identity import Identity
from wsauth.core.sessions import Limits

__all__ = ["TicketStore", "Tickets"]


class Tickets(Protocol):
    """Make and redeem tickets."""

    async def issue(self, identity: Identity, path: str | None, origin: str | None, ttl: float | None = None) -> str:
        """Return a ticket for the identity, good for `ttl` seconds, or as long as configured.

        Raises:
            Refused: `token_expired`: the identity's own credential has ended; or `unavailable`.
        """

    async def redeem(self, ticket: str, path: str, origin: str) -> Identity:
        """Return whose ticket it is; it is spent before this returns.

        Raises:
            Refused: `ticket_invalid`, or `unavailable`: it could not be spent.
        """


class TicketStore(Protocol):
    """Remember which tickets were used."""

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
        """Spend a ticket, durably; of many at once exactly one is told yes.

        Args:
            ticket_id: the ticket's `jti`.
            expires_at: until when it has to be remembered.
            limits: of sessions.
            now: seconds since the epoch.
            session_id: must be live.
            subject: a user of ours who must be enabled and of `epoch`.
            epoch: see `subject`.
        """
