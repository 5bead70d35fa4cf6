"""How a session is answered: with tokens, or with a cookie."""

from typing import Any

from fastapi import Response
from starlette.datastructures import Headers

from wsauth.core.cookies import cut_cookies
from wsauth.core.sessions import Session
from wsauth.errors import Refused
from wsauth.interfaces.sessions import Known
from wsauth.server.plane import Plane
from wsauth.server.problems import Unfit
from wsauth.services.sessions import identity_of

__all__ = ["Logins"]


class Logins:
    """Answer with sessions.

    Args:
        plane: has them.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._sessions = plane.local.sessions

    def check_cookie(self) -> None:
        """Go on only where a cookie would be safe.

        Raises:
            Unfit: it would go over the net as it is.
        """
        if not self._plane.local.secure and not self._plane.on_loopback:
            raise Unfit(400, "a cookie needs https: use tokens, or serve over TLS")

    async def end_before(self, headers: Headers) -> None:
        """End the session whose cookie came along: after a login nobody else may know the way in (ASVS 7.2.4)."""
        name = self._plane.local.verifier.cookie
        for header in headers.getlist("cookie"):
            for _, value in cut_cookies(header, [name])[0]:
                try:
                    before = await self._sessions.of_cookie(value, vouched=False)
                except Refused:
                    continue
                if before is not None:
                    await self._sessions.end(before.session.id)

    def with_tokens(self, known: Known) -> dict[str, Any]:
        """Return the answer to whoever keeps a session by tokens."""
        local, now = self._plane.local, self._plane.now()
        until = local.limits.stands_until(known.session)
        token, expires_at = local.tokens.issue(known.user, known.session, until)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": round(expires_at - now),
            "refresh_token": self._sessions.refresh_token(known.session),
            **self._described(known),
        }

    def with_cookie(self, response: Response, known: Known) -> dict[str, Any]:
        """Set the cookie, and return the answer to whoever keeps a session by it."""
        self.set_cookie(response, known.session)
        limits, now = self._plane.local.limits, self._plane.now()
        lease = min(limits.access, limits.stands_until(known.session) - now)
        csrf_token = self._sessions.csrf_token(known.session.id)
        return {"csrf_token": csrf_token, "expires_in": round(lease), **self._described(known)}

    def set_cookie(self, response: Response, session: Session) -> None:
        """Set the session's cookie."""
        rest = self._plane.local.limits.ends_at(session) - self._plane.now()
        self._plane.set_cookie(response.headers, self._sessions.cookie(session), rest)

    def _described(self, known: Known) -> dict[str, Any]:
        identity = identity_of(known, self._plane.local.limits)
        return {
            "session_id": known.session.id,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "roles": identity.roles,
            "permissions": self._plane.guard.roles.resolve(identity).names,
        }
