"""Remembering sessions. Every method is one transaction, and its feed rows are part of it."""

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import msgspec

from wsauth.core.feed import NewRow
from wsauth.core.identity import OWN_ISSUER
from wsauth.core.sessions import Limits, Session, SignIn
from wsauth.core.users import User

__all__ = ["Known", "Refreshed", "SessionStore"]


class Known(msgspec.Struct, frozen=True):
    """Be a session with its user, as the store has them at one moment."""

    session: Session
    user: User


class Refreshed(msgspec.Struct, frozen=True):
    """Be what came of a refresh.

    Attributes:
        outcome: `rotated`; `repeated`: the proof just used came again in time, and gets the same successor; `gone`:
            there is no live session; `reused`: an old proof came back, and the session was ended for it.
        known: the session as it is now, with its user; `None` unless rotated or repeated.
        subject: whose session was reused.
        issuer: whose subject.
    """

    outcome: Literal["rotated", "repeated", "gone", "reused"]
    known: Known | None = None
    subject: str = ""
    issuer: str = OWN_ISSUER


class SessionStore(Protocol):
    """Keep sessions. One is live while its `Limits` say so, its user is not disabled and its epoch is the user's."""

    async def open(self, session: Session) -> bool:
        """Add a session if its user is enabled and still of its epoch; tells whether it was."""

    async def sign_in(self, session: Session, said: SignIn) -> Known | None:
        """Add a session that began at a provider, with its account where that is new, and return both.

        Returns:
            `None`: its logins were ended since the provider was asked.
        """

    async def ask(self, session_id: str, now: float, patience: float) -> bytes | None:
        """Take the wrapped refresh token of a session, to ask its provider with.

        Returns:
            `None`: there is none, or somebody took it less than `patience` seconds ago.
        """

    async def vouch(
        self, session: Session, until: float, refresh_token: bytes, roles: Sequence[str] | None, *, asked_at: float
    ) -> bool:
        """Note until when the provider vouches, with the next wrapped refresh token, and which roles it says, if any.

        Args:
            session: which.
            until: seconds since the epoch.
            refresh_token: wrapped.
            roles: `None`: it says nothing of them.
            asked_at: when its token was taken by `ask`; nothing is noted if somebody has taken it since.

        Returns:
            Whether there is still the session.
        """

    async def end_at_provider(
        self, issuer: str, row: NewRow, *, session_id: str | None, subject: str | None, until: float
    ) -> None:
        """End the sessions that began with a login which has ended at the provider, and write a row that says so.

        Args:
            issuer: whose login.
            row: written in any case; what ends belongs to its order.
            session_id: the login (`sid`); or `None`.
            subject: all logins of a subject that began up to `until`; or `None`.
            until: seconds since the epoch, by the provider's clock.
        """

    async def find(self, session_id: str, limits: Limits, now: float) -> Known | None:
        """Return a live session and its user."""

    async def refresh(
        self, session_id: str, generation: int, limits: Limits, now: float, order: str | None = None
    ) -> Refreshed:
        """Take the proof of a generation (ARCHITECTURE, "Tokens and sessions"; RFC 9700 section 4.14).

        The current generation moves on by one. The one before it, within the grace, finds the same. Anything older
        ends the session. Of many at once exactly one rotates.
        """

    async def touch(
        self, session_id: str, limits: Limits, now: float, *, generation: int | None = None
    ) -> Known | None:
        """Begin the idle time of a live session anew, of that generation if one is given, and return it."""

    async def renewals(self, session_ids: Collection[str], limits: Limits, now: float) -> Sequence[Known]:
        """Return those that live, in one statement; those of kind `connection` begin their idle time anew."""

    async def end(self, session_id: str, *, account: str | None = None, order: str | None = None) -> bool:
        """End a session, of that account if one is given; tells whether there was one."""

    async def of(self, account: str, limits: Limits, now: float) -> Sequence[Session]:
        """Return an account's live sessions, the newest first."""

    async def page(self, after: str, limit: int, limits: Limits, now: float) -> Sequence[Session]:
        """Return live sessions in the order of their ids, those behind the id `after`."""

    async def prune(self, limits: Limits, now: float) -> int:
        """Forget the sessions that have ended by time."""
