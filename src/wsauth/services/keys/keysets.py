"""Keep an issuer's keys: fetched early, kept while the provider is down, dropped when it says so.

Nothing a token says starts a request, but for one case: a `kid` that the set does not have, and then at most
one request each `COOLDOWN`, whoever asks and how often.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Any, Final, Protocol

from wsauth.core.tokens.keys import KeyRefused
from wsauth.core.tokens.keysets import KeySet, from_jwks
from wsauth.core.urls import is_loopback
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.clock import Clock, Timer
from wsauth.services.keys.documents import FetchFailed, check_url, fetch

__all__ = ["COOLDOWN", "LIFETIME", "MAX_STALE", "ConfiguredKeys", "Keys", "RemoteKeys"]

LIFETIME: Final = 600.0
"""Seconds after which a fetched set is fetched again, so that a key that was taken away dies."""
COOLDOWN: Final = 30.0
"""Seconds between two requests, at least. Until there are keys the wait grows from one second to this."""
MAX_STALE: Final = 86400.0
"""Seconds for which a fetched set is good when the provider cannot be reached; then nothing is accepted."""

_log = logging.getLogger("wsauth")


class Keys(Protocol):
    """Be where a verifier gets its keys from."""

    @property
    def current(self) -> KeySet:
        """The keys that are good now; empty when there are none."""

    @property
    def good_until(self) -> float:
        """When `current` stops being good by itself, in seconds since the epoch."""

    def ready(self, key_id: str | None) -> KeySet | None:
        """Return the keys where `obtain` would make no request; else `None`."""

    async def obtain(self, key_id: str | None) -> KeySet:
        """Return the keys, after at most one request when there are none or none of that id.

        Raises:
            Refused: `unavailable`: there are none.
        """

    async def start(self) -> None:
        """Try to have keys before the first token comes."""

    async def aclose(self) -> None:
        """Stop whatever runs."""


class ConfiguredKeys:
    """Hold keys that stand in the configuration and never change."""

    good_until = float("inf")

    def __init__(self, keys: KeySet) -> None:
        self.current = keys

    def ready(self, key_id: str | None) -> KeySet | None:
        """Return the keys."""
        return self.current

    async def obtain(self, key_id: str | None) -> KeySet:
        """Return the keys."""
        return self.current

    async def start(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


class RemoteKeys:
    """Fetch a key set, by its URL or by OIDC discovery, and keep it.

    Args:
        jwks_url: where the set is; empty: discovery says.
        issuer: whose keys; the discovery document must name exactly this issuer.
        allowed: the algorithms that the configuration allows.
        clock: what time it is.
        on_removed: called when a key that was good no longer is.
    """

    def __init__(
        self,
        *,
        jwks_url: str,
        issuer: str,
        allowed: Collection[str],
        clock: Clock,
        on_removed: Callable[[], None],
    ) -> None:
        if jwks_url:
            check_url(jwks_url, "jwks_url")
        else:
            check_url(issuer, "issuer")
        self.clock = clock
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._allowed = allowed
        self._on_removed = on_removed
        self._keys = KeySet()
        self._fetched_at = float("-inf")
        self._next_fetch = float("-inf")
        self._due = float("inf")
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None
        self._timer: Timer | None = None

    @property
    def good_until(self) -> float:
        """When the keys are too old to be believed, in seconds since the epoch."""
        return self._fetched_at + MAX_STALE

    @property
    def current(self) -> KeySet:
        """The keys that are good now."""
        return self._keys if self.clock.now() < self.good_until else KeySet()

    async def obtain(self, key_id: str | None) -> KeySet:
        """Return the keys, after at most one request when there are none or none of that id.

        Raises:
            Refused: `unavailable`: there are none, and when to try again.
        """
        ready = self.ready(key_id)
        if ready is not None:
            return ready
        await self._refresh()
        keys = self.current
        if not keys:
            wait = max(1.0, self._next_fetch - self.clock.now())
            raise Refused("unavailable", f"there are no keys of {self._source()} yet", retry_after=wait)
        return keys

    def ready(self, key_id: str | None) -> KeySet | None:
        """Return the keys, where they have that id and are not overdue."""
        keys = self.current
        # Overdue: the timer was on a loop that is gone, or the machine slept.
        fit = keys and keys.knows(key_id) and self.clock.now() <= self._due + COOLDOWN
        return keys if fit else None

    async def start(self) -> None:
        """Fetch the keys now; when that fails it goes on in the background."""
        await self._refresh()

    async def aclose(self) -> None:
        """Stop fetching."""
        self._stop_timer()
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _refresh(self) -> None:
        """Wait for the one request that is under way, or make one if it is time."""
        if self._fetching is None:
            if self.clock.now() < self._next_fetch:
                return
            self._begin()
        if self._fetching is not None:
            # Not `await task`: one waiter that goes away must not take the request from the others.
            await asyncio.wait([self._fetching])

    def _begin(self) -> None:
        self._stop_timer()
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            self._take(await self._read())
        except (FetchFailed, KeyRefused, ConfigurationError) as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 # whatever a provider does, fetching goes on
            self._failed(type(error).__name__)
        finally:
            self._fetching = None

    def _failed(self, reason: str) -> None:
        self._failures += 1
        _log.warning("the keys of %s could not be fetched: %s", self._source(), reason)
        wait = COOLDOWN if self._keys else min(COOLDOWN, 2.0 ** min(self._failures - 1, 5))
        self._plan(wait, wait)

    async def _read(self) -> tuple[KeySet, list[str]]:
        url = self._jwks_url or await self._discover()
        return from_jwks(await fetch(url), self._allowed, remote=True)

    async def _discover(self) -> str:
        """Return the provider's `jwks_uri` (OpenID Connect Discovery 1.0 §4)."""
        url = self._issuer.removesuffix("/") + "/.well-known/openid-configuration"
        document: dict[str, Any] = await fetch(url)
        if document.get("issuer") != self._issuer:
            raise FetchFailed(f"{url} names another issuer: `issuer` must be written exactly as it is there")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise FetchFailed(f"{url} has no jwks_uri")
        return check_url(jwks_uri, "jwks_uri", plaintext=is_loopback(self._issuer))

    def _take(self, found: tuple[KeySet, list[str]]) -> None:
        keys, remarks = found
        removed = self._keys.prints - keys.prints
        self._keys = keys
        self._fetched_at = self.clock.now()
        self._failures = 0
        self._plan(COOLDOWN, LIFETIME if keys else COOLDOWN)
        for remark in remarks:
            _log.debug("%s: %s", self._source(), remark)
        if not keys:
            _log.warning("%s has no key that can be used here: %s", self._source(), "; ".join(remarks[:5]))
        if removed:
            _log.info("%s has taken away %d of its keys", self._source(), len(removed))
            self._on_removed()

    def _plan(self, cooldown: float, again: float) -> None:
        now = self.clock.now()
        self._next_fetch = now + cooldown
        self._due = now + again
        self._stop_timer()
        self._timer = self.clock.call_at(self._due, self._begin)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _source(self) -> str:
        return self._jwks_url or self._issuer
