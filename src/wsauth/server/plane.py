"""What every part of the control plane has at hand."""

from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import MutableHeaders

from wsauth.core.cookies import device_of, sign_ins_of
from wsauth.core.identity import Identity
from wsauth.core.permissions import Permissions
from wsauth.core.sign_in import LASTS
from wsauth.errors import Refused
from wsauth.guard import Guard
from wsauth.guard.local import Local
from wsauth.integrations.asgi.http import Request as Authenticated
from wsauth.services.metrics import Metrics
from wsauth.settings import Settings
from wsauth.settings.server import is_loopback

__all__ = ["Body", "Plane", "Urls", "authenticated", "permissions_of", "port_of", "somebody", "somebody_changing"]

_DEVICE_KEPT: Final = 180 * 86_400
"""Seconds that a device stays known."""


class Urls(Protocol):
    """Say what is served where: `public` and `admin` are URLs, `admin` empty where it is nowhere."""

    @property
    def public(self) -> str: ...
    @property
    def admin(self) -> str: ...


class Body(BaseModel):
    """Be the JSON body of a request: exactly these members, each of exactly its type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Plane:
    """Hold the guard, our own users and the configuration, for those who answer requests.

    Args:
        settings: the configuration.
        guard: as it says.
        local: the guard's own users.
        metrics: what is counted here.
        urls: what is served where.
        draining: tells whether the process is about to stop.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        local: Local,
        urls: Urls,
        *,
        metrics: Metrics,
        draining: Callable[[], bool],
    ) -> None:
        self.settings = settings
        self.guard = guard
        self.local = local
        self.urls = urls
        self.metrics = metrics
        self.draining = draining

    @property
    def on_loopback(self) -> bool:
        """Tell whether only this machine can reach us."""
        return is_loopback(self.settings.server.host)

    def absolute(self, path: str) -> str:
        """Return the whole URL of a path of ours; any other URL as it is."""
        return self.settings.public_url(port_of(self.urls)) + path if path.startswith("/") else path

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.guard.backend.clock.now()

    def check_address(self, request: Request, *, known: bool = False) -> str:
        """Return the address that a request comes from, empty where it has none, unless it is blocked.

        Args:
            request: any.
            known: it brings more than a password.

        Raises:
            Refused: `address_blocked`.
        """
        address = request.client.host if request.client else ""
        kept_out = self.guard.throttling.kept_out(address, known=known)
        if kept_out is not None:
            raise kept_out
        return address

    def check_granting(self) -> None:
        """Go on only while something may be granted (ARCHITECTURE, invariant 9).

        Raises:
            Refused: `draining` or `unavailable`.
        """
        if self.draining():
            raise Refused("draining", "the server is stopping", retry_after=1)
        if self.guard.follower.lost:
            raise Refused("unavailable", "the feed of revocations was not read for too long", retry_after=1)

    def set_cookie(self, headers: MutableHeaders, value: str, max_age: float) -> None:
        """Set the session cookie."""
        self._set(headers, self.local.verifier.cookie, value, max_age)

    def set_sign_ins(self, headers: MutableHeaders, value: str) -> None:
        """Set the cookie of the ways to providers that a browser is on; empty: of none."""
        self._set(headers, sign_ins_of(self.local.verifier.cookie), value, LASTS if value else 0)

    def set_device(self, headers: MutableHeaders, value: str) -> None:
        """Let a device be known after a login, so that nobody can lock it out by guessing (OWASP, device cookies)."""
        self._set(headers, device_of(self.local.verifier.cookie), value, _DEVICE_KEPT)

    def _set(self, headers: MutableHeaders, name: str, value: str, max_age: float) -> None:
        """Set a cookie; `__Host-` binds it to this host, path and to https (RFC 6265bis section 4.1.3.2)."""
        secure = "; Secure" if self.local.secure else ""
        rest = max(0, int(max_age))
        headers.append("Set-Cookie", f"{name}={value}; Path=/; Max-Age={rest}; HttpOnly; SameSite=Lax{secure}")


def port_of(urls: Urls) -> int:
    """Return the public port."""
    url = urlsplit(urls.public)
    return url.port or (443 if url.scheme == "https" else 80)


def authenticated(request: Request) -> Authenticated:
    """Return who sent the request, as the guard's middleware found it."""
    found: Authenticated = request.scope["wsauth"]
    return found


async def somebody(request: Request) -> Identity:
    """Return who sent the request.

    Raises:
        Refused: nobody, or nobody with good credentials.
    """
    return authenticated(request).require()


async def somebody_changing(request: Request) -> Identity:
    """Return who sent the request, also where all they may do is to choose another password.

    Raises:
        Refused: nobody, or nobody with good credentials.
    """
    found = authenticated(request)
    return found.changing or found.require()


def permissions_of(request: Request) -> Permissions:
    """Return what the sender may do."""
    return authenticated(request).permissions
