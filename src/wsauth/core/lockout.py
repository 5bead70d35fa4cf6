"""When a password may be tried: by address, by account from one network, by account from anywhere, by known device.

An attempt is charged before the password is looked at, and given back when it was good: many at once are no way around.
From one network an account is locked after some failures, for a while. Over all networks there is only a delay that
grows, since else anybody could lock anybody out (OWASP Authentication, ASVS 6.3.1; SP 800-63B-4 section 3.2.2).
"""

import unicodedata
from collections.abc import Mapping
from typing import Final

import msgspec

from wsauth.core.throttling import Rate
from wsauth.core.users import fold
from wsauth.errors import Refused

__all__ = ["Change", "Count", "Counts", "Keys", "Policy", "counted_name"]

_FORGOTTEN: Final = 86_400.0
"""Seconds without a failure after which an account's are forgotten."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})


class Count(msgspec.Struct, frozen=True):
    """Be what is remembered of one key.

    Attributes:
        level: failures, and attempts that nobody has judged yet.
        last: when the last of them came, in seconds since the epoch.
        keep_until: when all of it may be forgotten.
    """

    level: float
    last: float
    keep_until: float


Counts = Mapping[str, Count]
Change = dict[str, Count | None]
"""What is to be remembered from now on; `None`: nothing."""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Name the counters of one attempt; empty: there is none.

    Attributes:
        address: of the address alone.
        here: of the account from this network.
        account: of the account from anywhere.
        device: of a device that has logged in to the account before.
    """

    address: str = ""
    here: str
    account: str
    device: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Return those that there are."""
        return tuple(key for key in (self.address, self.here, self.account, self.device) if key)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Say when a password may be tried.

    Attributes:
        rate: failures of one address, over all accounts; `None` is without a limit.
        after: failures after which an account is locked from a network, and slowed down from everywhere.
        lasts: seconds that the lock lasts, and that the delay grows to.
    """

    rate: Rate | None = Rate(20, 60.0)
    after: int = 10
    lasts: float = 900.0

    def arrive(self, keys: Keys, found: Counts, now: float) -> tuple[Change, Refused | None]:
        """Charge an attempt, or say why the password is not even looked at; then nothing is charged."""
        refused = self._too_many(keys, found, now)
        if refused is not None:
            return {}, refused
        change: Change = {}
        if keys.address and self.rate is not None:
            level = self._leaked(found.get(keys.address), now) + 1
            change[keys.address] = Count(level, now, now + self.rate.seconds)
        device = self._level(found.get(keys.device), now, self.lasts) if keys.device else self.after
        if device < self.after:
            change[keys.device] = Count(device + 1, now, now + self.lasts)
            return change, None
        refused = self._locked(keys, found, now)
        if refused is not None:
            return {}, refused
        here = self._level(found.get(keys.here), now, self.lasts)
        anywhere = self._level(found.get(keys.account), now, _FORGOTTEN)
        change[keys.here] = Count(here + 1, now, now + self.lasts)
        change[keys.account] = Count(anywhere + 1, now, now + _FORGOTTEN)
        return change, None

    def succeed(self, keys: Keys, found: Counts, now: float) -> tuple[Change, None]:
        """Take it that the password was good: the failures before it are forgotten."""
        change: Change = dict.fromkeys((keys.here, keys.account, keys.device))
        change |= self._given_back(keys.address, found, now)
        change.pop("", None)
        return change, None

    def forgive(self, keys: Keys, found: Counts, now: float) -> tuple[Change, None]:
        """Take it that the password was not looked at."""
        change: Change = {}
        charged = keys.device if keys.device in found and found[keys.device].level < self.after else ""
        for key in (charged,) if charged else (keys.here, keys.account):
            if key in found:
                count = found[key]
                change[key] = msgspec.structs.replace(count, level=count.level - 1) if count.level > 1 else None
        return change | self._given_back(keys.address, found, now), None

    def _given_back(self, key: str, found: Counts, now: float) -> Change:
        if key not in found or self.rate is None:
            return {}
        level = self._leaked(found[key], now) - 1
        return {key: Count(level, now, now + self.rate.seconds) if level > 0 else None}

    def _too_many(self, keys: Keys, found: Counts, now: float) -> Refused | None:
        if not keys.address or self.rate is None:
            return None
        over = self._leaked(found.get(keys.address), now) + 1 - self.rate.count
        if over <= 1e-9:
            return None
        wait = over * self.rate.seconds / self.rate.count
        why = f"too many wrong passwords came from there ({self.rate})"
        return Refused("rate_limited", why, mend="limits.login_failures_per_address, limits.exempt", retry_after=wait)

    def _locked(self, keys: Keys, found: Counts, now: float) -> Refused | None:
        here, anywhere = found.get(keys.here), found.get(keys.account)
        wait = 0.0
        if self._level(here, now, self.lasts) >= self.after and here is not None:
            wait = here.last + self.lasts - now
        failures = self._level(anywhere, now, _FORGOTTEN)
        if failures >= self.after and anywhere is not None:
            # Over 2**60 nobody waits longer.
            delay = min(2.0 ** min(failures - self.after, 60), self.lasts)
            wait = max(wait, anywhere.last + delay - now)
        if wait <= 0:
            return None
        why = f"{max(self._level(here, now, self.lasts), failures):.0f} passwords in a row were wrong for this name"
        mend = "passwords.lockout_after, passwords.lockout_for; wsauth users unlock NAME"
        return Refused("account_locked", why, mend=mend, retry_after=wait)

    def _level(self, count: Count | None, now: float, forgotten: float) -> float:
        return 0.0 if count is None or now - count.last >= forgotten else count.level

    def _leaked(self, count: Count | None, now: float) -> float:
        if count is None or self.rate is None:
            return 0.0
        return max(0.0, count.level - max(0.0, now - count.last) * self.rate.count / self.rate.seconds)


def counted_name(typed: str) -> str:
    """Return what a name counts as: as names are compared, without blanks at its ends and what cannot be seen."""
    seen = "".join(char for char in typed if unicodedata.category(char) not in _UNSEEN)
    return fold(seen.strip()).strip()
