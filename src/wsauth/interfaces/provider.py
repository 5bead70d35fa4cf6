"""Identity providers with which people sign in."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from wsauth.core.identity import Identity

__all__ = ["Provider", "Said"]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a provider says about somebody.

    Attributes:
        whom: issuer and subject, with our roles for theirs.
        knows_roles: it said something about roles at all.
        session_id: the login there (`sid`), or `None`.
        issued_at: when it said so, in seconds since the epoch, by its own clock.
        refresh_token: what asks it again, or `None`.
        auth_time: when the person proved to it who they are, in seconds since the epoch, or `None`.
        acr: how strongly, in its words; empty where it does not say.
    """

    whom: Identity
    knows_roles: bool
    session_id: str | None
    issued_at: float
    refresh_token: str | None
    auth_time: float | None = None
    acr: str = ""

    def __repr__(self) -> str:
        return f"Said({self.whom!r})"


class Provider(Protocol):
    """Sign people in, and say later whether their login still stands.

    Attributes:
        name: its entry of `[[issuers]]`.
        recheck: seconds that one yes of it counts.
    """

    name: str
    recheck: float

    async def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, challenge: str, step_up: Mapping[str, str]
    ) -> str:
        """Return where the browser has to go.

        Args:
            redirect_uri: where it comes back to.
            state: of the way there.
            nonce: the same.
            challenge: the same.
            step_up: `max_age` and `acr_values`, where the login has to be recent or strong.

        Raises:
            Refused: `unavailable`.
        """

    async def issuer_of_answers(self) -> tuple[str | None, bool]:
        """Return who an authorization response must name, and whether it must name anybody (RFC 9207)."""

    async def redeem(self, code: str, *, redirect_uri: str, nonce: str, verifier: str) -> Said:
        """Return whom a code speaks of.

        Raises:
            Refused: `token_invalid`: of nobody; or `unavailable`.
        """

    async def renew(self, refresh_token: str, whom: Identity, keep: Callable[[str], None]) -> Said:
        """Ask whether a login still stands.

        Args:
            refresh_token: as the provider gave it.
            whom: of whom it has to speak.
            keep: takes the next refresh token as soon as there is one, whatever becomes of the rest.

        Raises:
            Refused: `session_revoked`: it does not; or `unavailable`: nobody says.
        """

    async def logout_url(self, return_to: str) -> str | None:
        """Return where the browser may log out of the provider too, or `None` (OpenID Connect RP-Initiated Logout 1.0).

        Args:
            return_to: where it goes then: a URL that is registered there.
        """

    async def aclose(self) -> None:
        """Ask no more."""
