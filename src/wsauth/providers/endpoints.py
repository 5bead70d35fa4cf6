"""Where a provider is reached: as it is configured, or as it says itself (OpenID Connect Discovery 1.0)."""

import asyncio
import logging
from typing import Any, Final, Protocol

import msgspec

from wsauth.core.urls import is_loopback
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock
from wsauth.services.keys.documents import FetchFailed, check_url, fetch

__all__ = ["ConfiguredEndpoints", "Discovery", "Endpoints", "Whereabouts"]

_LIFETIME: Final = 600.0
"""Seconds after which what a provider says of itself is read again."""
_MAX_STALE: Final = 86_400.0
"""Seconds for which it counts while it cannot be read."""
_COOLDOWN: Final = 2.0
"""Seconds between two attempts."""
_QUIET: Final = 60.0
"""Seconds between two lines of the log about that."""
_S256: Final = "S256"

_log = logging.getLogger("wsauth")


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Be the addresses of a provider.

    Attributes:
        authorization: where people sign in.
        token: where codes are redeemed.
        userinfo: where claims are asked for; empty: nowhere.
        end_session: where people log out; empty: nowhere.
        names_itself: its answers say whose they are (RFC 9207).
    """

    authorization: str
    token: str
    userinfo: str = ""
    end_session: str = ""
    names_itself: bool = False


class Whereabouts(Protocol):
    """Say where a provider is reached."""

    async def endpoints(self) -> Endpoints:
        """Return its addresses.

        Raises:
            Refused: `unavailable`.
        """

    async def aclose(self) -> None:
        """Stop whatever runs."""


class ConfiguredEndpoints:
    """Hold addresses that stand in the configuration."""

    def __init__(self, found: Endpoints) -> None:
        self._found = found

    async def endpoints(self) -> Endpoints:
        """Return them."""
        return self._found

    async def aclose(self) -> None:
        """Do nothing."""


class Discovery:
    """Read what a provider says of itself, and keep it.

    Args:
        issuer: the provider; its document must name exactly this one.
        clock: tells the time.
    """

    def __init__(self, issuer: str, clock: Clock) -> None:
        self._issuer = check_url(issuer, "issuer")
        self._clock = clock
        self._found: Endpoints | None = None
        self._read_at = float("-inf")
        self._next_try = float("-inf")
        self._failure = ""
        self._quiet_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def endpoints(self) -> Endpoints:
        """Return where the provider is reached.

        Raises:
            Refused: `unavailable`: it does not say, or says what must not be.
        """
        now = self._clock.now()
        if now >= self._read_at + _LIFETIME and now >= self._next_try and self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
        if self._found is None or now >= self._read_at + _MAX_STALE:
            if self._reading is not None:
                await asyncio.wait([self._reading])  # one who goes away must not take it from the others
            if self._found is None or self._clock.now() >= self._read_at + _MAX_STALE:
                raise Refused("unavailable", self._failure, retry_after=_COOLDOWN)
        return self._found

    async def aclose(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        url = self._issuer.removesuffix("/") + "/.well-known/openid-configuration"
        try:
            self._found = self._checked(url, await fetch(url))
            self._read_at = self._clock.now()
        except (FetchFailed, ConfigurationError) as error:
            self._failure = str(error)
            if self._clock.now() >= self._quiet_until:
                self._quiet_until = self._clock.now() + _QUIET
                _log.warning("what %s says of itself cannot be read: %s", self._issuer, error)
        finally:
            self._next_try = self._clock.now() + _COOLDOWN
            self._reading = None

    def _checked(self, url: str, document: dict[str, Any]) -> Endpoints:
        if document.get("issuer") != self._issuer:
            raise FetchFailed(f"{url} names another issuer: `issuer` must be written exactly as it is there")
        methods = document.get("code_challenge_methods_supported")
        if methods is not None and not (isinstance(methods, list) and _S256 in methods):
            raise FetchFailed(f"{url}: no PKCE with S256 (RFC 7636), without which nobody signs in here")
        return Endpoints(
            authorization=self._url(document, "authorization_endpoint"),
            token=self._url(document, "token_endpoint"),
            userinfo=self._url(document, "userinfo_endpoint", needed=False),
            end_session=self._url(document, "end_session_endpoint", needed=False),
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )

    def _url(self, document: dict[str, Any], name: str, *, needed: bool = True) -> str:
        value = document.get(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str):
            raise FetchFailed(f"{self._issuer} has no {name}")
        return check_url(value, name, plaintext=is_loopback(self._issuer))
