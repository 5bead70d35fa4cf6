"""Judge credentials by asking the application's own backend, as nginx's `auth_request` would."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from math import inf
from types import NoneType
from typing import Any, Final
from urllib.parse import urlsplit

from wsauth.core import units
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.core.tokens.expecting import expectations
from wsauth.core.tokens.rights import at, permissions_in, roles_in
from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.services.asking import Answers, Endpoint, is_askable
from wsauth.services.clock import SystemClock
from wsauth.services.keys.documents import check_url

__all__ = ["HTTPVerifier"]

_NO: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class HTTPVerifier:
    """Judge tokens and the session cookie of a backend, and ask about them again while a connection stands on them.

    The backend is asked with GET, and gets the token as `Authorization: Bearer …` or the one cookie that is named, and
    nothing else of the client's. An answer of 2xx with a JSON object, `{"subject": …}`, is a yes; `roles`,
    `permissions`, `expires_in` (seconds) and `iat` (when they logged in, seconds since 1970) may stand beside it. 401
    and 403 are a no; anything else is no answer. It is kept for five seconds at most.

    Args:
        url: where the backend is asked; https, or http on this machine.
        issuer: the identities' issuer; `None`: `name` is.
        recheck: how long a connection may stand on an answer.
        max_ttl: how long a revocation is kept; 0 is for as long as there is a store.
        subject_claim: where the subject stands in the answer: a text, or an integer, which is written in decimal.
        roles_claim, permissions_claim: the same for the rights.
        roles: their names to ours, `"*"` for all; a role that is not in it is dropped.
        cookie: the cookie of the backend's sessions; without one only tokens are judged.
        name: the identities' issuer where `issuer` is `None`; `http` if it is not given.
        clock: what time it is.

    Attributes:
        asks: Host and path of its questions. An application that answers them itself must not ask who is asking.

    Raises:
        ConfigurationError: something cannot work or would not be safe.
    """

    def __init__(
        self,
        *,
        url: str,
        issuer: str | None = None,
        recheck: str | float = "5m",
        max_ttl: str | float = "24h",
        subject_claim: str = "subject",
        roles_claim: str = "roles",
        permissions_claim: str = "permissions",
        roles: str | Mapping[str, Any] | None = None,
        cookie: str = "",
        name: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.cookie = cookie
        self._recheck = units.needed(recheck, "recheck")
        self._expected = expectations(
            issuer=issuer,
            name=name or "http",
            audience=None,
            max_ttl=max_ttl,
            subject_claim=subject_claim,
            roles_claim=roles_claim,
            permissions_claim=permissions_claim,
            roles=roles,
        )
        self.issuer, self.name, self.max_ttl = self._expected.issuer, self._expected.name, self._expected.max_ttl
        self._endpoint = Endpoint(check_url(url, "url"), self.clock)
        asked = urlsplit(url)
        self.asks = (asked.netloc.lower(), asked.path or "/")
        self._answers = Answers(self.clock, self._recheck / 2)

    def __repr__(self) -> str:
        return f"HTTPVerifier(url={self._endpoint.url!r})"

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whose they are, or `None` when the backend says no, or need not be asked.

        Raises:
            Refused: `unavailable`: nobody answers.
        """
        if not is_askable(credentials, self.cookie):
            return None
        return await self._answered(credentials, fresh=False)

    async def recheck(self, credentials: Credentials) -> Identity:
        """Return whose they are now.

        Raises:
            Refused: `session_revoked`: the backend says no; or `unavailable`.
        """
        identity = await self._answered(credentials, fresh=True)
        if identity is None:
            raise Refused("session_revoked", f"{self._endpoint.url} says no to what it said yes to before")
        return identity

    async def aclose(self) -> None:
        """Ask no more."""
        await self._answers.aclose()
        await self._endpoint.aclose()

    async def _answered(self, credentials: Credentials, *, fresh: bool) -> Identity | None:
        cookie, secret = credentials.cookie, credentials.secret
        headers = {"Cookie": f"{cookie}={secret}"} if cookie else {"Authorization": f"Bearer {secret}"}
        return await self._answers.get(f"{cookie}={secret}", partial(self._ask, headers), fresh=fresh)

    async def _ask(self, headers: Mapping[str, str]) -> Identity | None:
        status, body = await self._endpoint.ask("GET", headers)
        if status in _NO:
            return None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._endpoint.unusable(f"status {status} is neither 2xx nor 401 or 403 (redirects are not followed)")
        try:
            return self._identity(load_object(body))
        except ValueError as error:
            raise self._endpoint.unusable(str(error)) from None

    def _identity(self, answer: Mapping[str, Any]) -> Identity | None:
        expected = self._expected
        subject = at(answer, expected.subject_claim)
        if type(subject) is int:
            subject = str(subject)
        if not isinstance(subject, str) or not subject:
            raise ValueError(f"`{expected.subject_claim}` is neither a text nor an integer")
        now, lasts, issued_at = self.clock.now(), answer.get("expires_in", inf), answer.get("iat")
        if type(lasts) not in (int, float):
            raise ValueError("`expires_in` is not a number of seconds")
        if type(issued_at) not in (int, float, NoneType):
            raise ValueError("`iat` is not a time in seconds since 1970")
        if not lasts > 0:
            return None
        return Identity(
            subject,
            issuer=expected.issuer or expected.name,
            roles=roles_in(answer, expected.roles_claim, expected.roles),
            permissions=permissions_in(answer, expected.permissions_claim),
            expires_at=now + min(lasts, self._recheck),
            claims={} if issued_at is None else {"iat": issued_at},
        )
