"""What `wsauth connect` presents: a token or ticket in the handshake, or a password in whichever way is taken."""

import json
from base64 import urlsafe_b64encode
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from wsauth.cli.wording import problem_line
from wsauth.core.protocol.wire import BEARER_PREFIX, TICKET_PREFIX
from wsauth.errors import WsauthError

__all__ = ["Login", "NoLogin"]

_TIMEOUT: Final = 10.0
"""Seconds that the HTTP API may take."""


class NoLogin(WsauthError):
    """Say in words why signing in did not work."""


class Login:
    """Hold what is presented.

    A password goes into a message where the route takes one, and else to the HTTP API of the same server, for a
    session whose tokens are then presented.

    Args:
        url: of the WebSocket.
        kind: `password`, `token` or `ticket`.
        secret: it.
        username: with a password.
    """

    def __init__(self, url: str, kind: str, secret: str, username: str = "") -> None:
        parts = urlsplit(url)
        self.kind = kind
        self._secret = secret
        self._username = username
        self._api = f"{parts.scheme.replace('ws', 'http', 1)}://{parts.netloc}"
        self._in_message = False
        self._tokens: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Login({self.kind!r}, secret=<hidden>)"

    def offer(self) -> list[str]:
        """Return what the handshake offers; never a URL, since logs keep those."""
        if self.kind == "password":
            return []
        if self.kind == "ticket":
            return [TICKET_PREFIX + self._secret]
        jws = self._secret.count(".") == 2
        return [BEARER_PREFIX + (self._secret if jws else _encoded(self._secret))]

    async def message(self, accept: list[str] | None = None) -> str:
        """Return the `auth` message that signs in, or renews.

        Args:
            accept: what the server takes in a message; `None` to renew.

        Raises:
            NoLogin: the HTTP API refused.
        """
        if accept is not None:
            self._in_message = "password" in accept
        if self._in_message:
            return json.dumps({"type": "auth", "username": self._username, "password": self._secret})
        if self._tokens:
            self._tokens = await self._post("refresh", {"refresh_token": self._tokens["refresh_token"]})
        else:
            self._tokens = await self._post("login", {"username": self._username, "password": self._secret})
        return json.dumps({"type": "auth", "token": self._tokens["access_token"]})

    async def logout(self) -> None:
        """End the session, if there is one; it would end by itself too."""
        if not self._tokens:
            return
        headers = {"Authorization": f"Bearer {self._tokens['access_token']}"}
        try:
            async with httpx2.AsyncClient(base_url=self._api, timeout=_TIMEOUT) as client:
                await client.post("/auth/logout", headers=headers)
        except httpx2.HTTPError:
            return

    async def _post(self, verb: str, body: dict[str, str]) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(base_url=self._api, timeout=_TIMEOUT) as client:
                reply = await client.post(f"/auth/{verb}", json=body)
            if reply.status_code == httpx2.codes.OK:
                answer: dict[str, Any] = reply.json()
                if {"access_token", "refresh_token"} <= answer.keys():
                    return answer
        except httpx2.HTTPError as error:
            raise NoLogin(f"no login at {self._api}/auth/{verb}: {type(error).__name__}") from None
        except (ValueError, AttributeError):
            raise NoLogin(f"no login: {self._api}/auth/{verb} answers what is no login of wsauth") from None
        raise NoLogin(problem_line(reply.status_code, reply.content))


def _encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
