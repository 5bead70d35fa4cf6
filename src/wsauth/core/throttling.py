"""How often something may happen: rates, the networks that are counted, and counters that cannot be flooded."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Final

import msgspec

from wsauth.core.peers import Network, ip_of
from wsauth.core.units import seconds
from wsauth.errors import ConfigurationError

__all__ = ["Bucket", "Buckets", "Rate", "exempting", "network_of", "rate"]

_RATE: Final = re.compile(r"([0-9]{1,9})/([0-9]{0,9})(ms|s|m|h|d)", re.ASCII)
_HOME: Final = 64
"""Bits of an IPv6 address that belong to one customer; the rest they choose themselves (RFC 6177)."""


class Rate(msgspec.Struct, frozen=True):
    """Be how often something may happen.

    Attributes:
        count: times.
        seconds: within so many seconds; all of the times at once, too.
    """

    count: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.count} in {self.seconds:g} s"


def rate(value: str, name: str) -> Rate | None:
    """Return a rate; `None` is off.

    Args:
        value: `"20/m"`, `"100/10m"`, `"5/s"`; `""` and `"0"` are off.
        name: the key it was given for, to name it when it is wrong.

    Raises:
        ConfigurationError: it is not a rate.
    """
    if value in ("", "0"):
        return None
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not int(found[1]) or found[2] == "0":
        raise ConfigurationError(f'{name} = {value!r} is not a rate such as "20/m" or "100/10m" ("" is off)')
    return Rate(int(found[1]), seconds(f"{found[2] or 1}{found[3]}", name))


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return what an address is counted as: itself, or the /64 of IPv6; text that is no address counts as itself."""
    parsed = ip_of(address)
    if parsed is None:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(ip_network((int(parsed) >> (128 - _HOME) << (128 - _HOME), _HOME)))


def exempting(networks: Sequence[Network]) -> Callable[[str], bool]:
    """Return what tells whether an address is in one of these networks; text that is no address is in none."""

    @lru_cache(maxsize=4096)
    def is_exempt(address: str) -> bool:
        parsed = ip_of(address)
        return parsed is not None and any(parsed in network for network in networks)

    return is_exempt


def _leaked(level: float, at: float, now: float, leak: float) -> float:
    """Return how full a bucket still is that was filled up to `level` at `at`; `leak`: per second."""
    return max(0.0, level - max(0.0, now - at) * leak)


class Bucket:
    """Count how often one has done something lately: a leaky bucket.

    Args:
        rate: what it may do.
    """

    __slots__ = ("_at", "_count", "_leak", "_level")

    def __init__(self, rate: Rate) -> None:
        self._count = rate.count
        self._leak = rate.count / rate.seconds
        # How full it was, and when.
        self._level = 0.0
        self._at = 0.0

    def _now(self, now: float) -> float:
        return _leaked(self._level, self._at, now, self._leak)

    def left(self, now: float) -> int:
        """Return how many times more are allowed now."""
        return int(self._count - self._now(now) + 1e-9)

    def charge(self, times: int, now: float) -> None:
        """Count so many times, which `left` has allowed."""
        self._level, self._at = self._now(now) + times, now

    def wait(self, now: float) -> float:
        """Return the seconds until once more is allowed; 0.0 where it is now."""
        over = self._now(now) + 1 - self._count
        return over / self._leak if over > 1e-9 else 0.0


class Buckets:
    """Count how often each of many has done something lately: a leaky bucket each, in bounded memory.

    A bucket that is empty again is forgotten. When there are too many, those that hold least are: nobody who has used
    up what they may do gets anything back because others come by (ATTACKS PW-17).

    Args:
        rate: what each may do.
        limit: buckets.
    """

    def __init__(self, rate: Rate, limit: int = 100_000) -> None:
        self.rate = rate
        self._limit = limit
        self._leak = rate.count / rate.seconds
        # Key -> how full it was, and when.
        self._levels: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, key: str, now: float) -> float:
        found = self._levels.get(key)
        return 0.0 if found is None else _leaked(*found, now, self._leak)

    def full(self, key: str, now: float) -> float:
        """Return the seconds until once more is allowed; 0.0 where it is now."""
        over = self._level(key, now) + 1 - self.rate.count
        return over / self._leak if over > 1e-9 else 0.0

    def charge(self, key: str, now: float) -> float:
        """Count once if it is allowed, and return 0.0; else return the seconds until it will be."""
        wait = self.full(key, now)
        if not wait:
            if key not in self._levels and len(self._levels) >= self._limit:
                self._make_room(now)
            self._levels[key] = (self._level(key, now) + 1, now)
        return wait

    def give_back(self, key: str, now: float) -> None:
        """Take back what was counted last, since it came to a good end."""
        level = self._level(key, now) - 1
        if level > 0:
            self._levels[key] = (level, now)
        else:
            self._levels.pop(key, None)

    def _make_room(self, now: float) -> None:
        """Forget the emptier half, of those that are not full."""
        levels = {key: self._level(key, now) for key in self._levels}
        for key in sorted(levels, key=levels.__getitem__)[: self._limit // 2]:
            if levels[key] > self.rate.count - 1:
                break
            del self._levels[key]
