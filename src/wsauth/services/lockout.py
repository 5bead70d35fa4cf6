"""Let passwords be tried only so often, whichever way they come: HTTP login, Basic and messages share the counters."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from hmac import compare_digest
from typing import Final, TypeVar

from wsauth.core.lockout import Keys, Policy, counted_name
from wsauth.core.peers import Network
from wsauth.core.throttling import exempting, network_of
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.interfaces.counters import Counters, Decide
from wsauth.services.keyfile import KeyFile

__all__ = ["Lockout"]

T = TypeVar("T")

_REMEMBERED: Final = 10_000
_AT_ONCE: Final = 2
"""Attempts that are counted at once."""
_DEVICE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Lockout:
    """Charge attempts, exactly, over all processes of the store.

    Args:
        policy: when a password may be tried.
        counters: remember what was.
        key_file: hides the names that were typed, among which are passwords, from who reads the store.
        clock: tells the time.
        exempt: networks that are not counted by address.
    """

    def __init__(
        self, policy: Policy, counters: Counters, *, key_file: KeyFile, clock: Clock, exempt: tuple[Network, ...] = ()
    ) -> None:
        self._policy = policy
        self._counters = counters
        self._mac = key_file.mac("login counters")
        self._devices = key_file.mac("known devices")
        self._clock = clock
        # Address -> until when it may not try, and why.
        self._spent: dict[str, tuple[float, Refused]] = {}
        self._is_exempt = exempting(exempt)
        self._few = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def attempt(self, username: str, address: str, device: str = "") -> AsyncGenerator[None]:
        """Charge an attempt, around the check of the password, and see what becomes of it.

        Args:
            username: as typed, whether or not there is such a user.
            address: from where; empty is unknown.
            device: what `device_cookie` returned for the device's last login, as it came with this attempt; else empty.

        Raises:
            Refused: `account_locked` or `rate_limited`, before the password is looked at.
        """
        name, known = self.account(username), self._device_of(device, username)
        keys = Keys(
            address="" if not address or self._is_exempt(address) else f"address:{network_of(address)}",
            here=f"account:{name}:at {network_of(address)}",
            account=f"account:{name}:",
            device=f"device:{known}" if known else "",
        )
        now = self._clock.now()
        spent = self._spent.get(keys.address)
        if spent is not None and now < spent[0]:
            raise Refused("rate_limited", spent[1].reason, mend=spent[1].mend, retry_after=spent[0] - now)
        refused = await self._update(keys.all, lambda found: self._policy.arrive(keys, found, now))
        if refused is not None:
            if refused.code == "rate_limited":
                self._remember(keys.address, now, refused)
            raise refused
        try:
            yield
        except Refused as error:
            if error.code != "credentials_invalid":
                await self._update(keys.all, lambda found: self._policy.forgive(keys, found, now))
            raise
        # Whoever leaves before the answer has tried as well: what was charged stays.
        await self._update(keys.all, lambda found: self._policy.succeed(keys, found, now))

    def device_cookie(self, username: str) -> str:
        """Return what a device keeps that has logged in to this account."""
        device = secrets.token_hex(16)
        return f"{device}.{self._devices.sign(_device_message(device, username)).hex()}"

    def _device_of(self, cookie: str, username: str) -> str:
        """Return which device it is, where it has logged in to this account; else empty."""
        device, _, tag = cookie.partition(".")
        if not _DEVICE.fullmatch(device):  # nothing of a name may stand in it
            return ""
        expected = self._devices.sign(_device_message(device, username)).hex()
        return device if compare_digest(tag.encode("utf-8", "replace"), expected.encode()) else ""

    def _remember(self, key: str, now: float, refused: Refused) -> None:
        """Answer an address that has used up its tries without the store, until it may try again."""
        if len(self._spent) >= _REMEMBERED:
            self._spent.clear()
        self._spent[key] = (now + (refused.retry_after or 0.0), refused.as_value())

    async def _update(self, keys: Collection[str], decide: Decide[T]) -> T:
        """Ask the store, for a few at a time: what it answers together is gone on with together."""
        async with self._few:
            return await self._counters.update(keys, decide)

    async def unlock(self, username: str) -> None:
        """Forget the failures of an account, from everywhere."""
        await self._counters.clear(f"account:{self.account(username)}:")

    async def prune(self) -> None:
        """Forget what is over."""
        await self._counters.prune(self._clock.now())

    def account(self, username: str) -> str:
        """Return what an account is counted as, from which nobody without the key file learns the name."""
        return self._mac.sign(counted_name(username).encode("utf-8", "surrogatepass")).hex()[:32]


def _device_message(device: str, username: str) -> bytes:
    return f"{device} {counted_name(username)}".encode("utf-8", "replace")
