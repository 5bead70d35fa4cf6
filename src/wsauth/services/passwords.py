"""Passwords: Argon2id, and bcrypt for imported users, in a few threads that never stall the event loop.

How the answers to "no such user" and "wrong password" are kept alike, and the numbers, are in
`docs/decisions/0006-password-hashing.md`.
"""

import asyncio
import math
import os
import secrets
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from wsauth.errors import Refused

__all__ = ["HARD_LIMIT", "Passwords", "Verdict", "Workers", "verifiable"]

HARD_LIMIT: Final = 4096
"""Characters; a longer password is wrong, unread. `passwords.maximum_length` cannot be set higher."""

_BCRYPT_LIMIT: Final = 72
"""Bytes of a password that bcrypt looks at; the library raises over it instead of cutting."""
_BCRYPT_COST: Final = 15
"""The highest cost that is verified: about 2 s of a thread."""
_ARGON2_WORK: Final = 2**20
"""KiB times passes that are verified at most: about 1 s of a thread."""
_NICE: Final = 10
"""How much lower than the event loop's the threads' priority is."""
_HEADROOM: Final = 1.5
"""How much later than the slowest foreign hash every no is given."""

_T = TypeVar("_T")


def verifiable(hashed: str) -> bool:
    """Tell whether passwords can be checked against this hash: Argon2 or bcrypt, and not too expensive."""
    if BcryptHasher.identify(hashed):
        return int(hashed[4:6]) <= _BCRYPT_COST
    try:
        parameters = extract_parameters(hashed)
    except InvalidHashError:
        return False
    return Argon2Hasher.identify(hashed) and parameters.memory_cost * parameters.time_cost <= _ARGON2_WORK


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say whether a password was good.

    Attributes:
        good: it was.
        rehash: what to store from now on instead of the hash that was checked; `None`: it can stay.
    """

    good: bool
    rehash: str | None = field(default=None, repr=False)


class Workers:
    """Run functions in a few threads of low priority, with a queue that has an end.

    Args:
        size: threads; by default one less than processors, at least 1 and at most 4.
        queue_limit: how many calls may wait for a thread.
        pace: seconds that a call takes, until it has been measured.

    Attributes:
        size: threads.
        queue_limit: how many calls may wait.
    """

    def __init__(self, size: int | None = None, queue_limit: int = 64, *, pace: float = 0.03) -> None:
        self.size = size or min(4, max(1, _processors() - 1))
        self.queue_limit = queue_limit
        self._pace = pace
        self._calls: set[Future[Any]] = set()
        self._closed = False
        self._threads = ThreadPoolExecutor(self.size, "wsauth-passwords", initializer=_be_nice)

    @property
    def waiting(self) -> int:
        """Return how many calls wait for a thread."""
        return max(0, len(self._calls) - self.size)

    def check(self) -> None:
        """Go on only if there is room for a call.

        Raises:
            Refused: as `run`.
        """
        if self._closed:
            raise Refused("draining", "the password workers have ended")
        if len(self._calls) >= self.size + self.queue_limit:
            wait = max(1, math.ceil(self.waiting * self._pace / self.size))
            raise Refused("unavailable", f"{self.waiting} passwords wait to be checked", retry_after=wait)

    async def run(self, function: Callable[[], _T]) -> _T:
        """Return what the function returns; a caller that is cancelled before it began gives the place back.

        Raises:
            Refused: `unavailable` at once when the queue is full, with the seconds until it will be empty; `draining`
                when the workers have ended.
        """
        self.check()
        call = self._threads.submit(self._measured, function)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(call)

    async def aclose(self) -> None:
        """End the threads: what runs is finished, what waits is refused with `draining`."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _measured(self, function: Callable[[], _T]) -> _T:
        if self._closed:
            raise Refused("draining", "the password workers have ended")
        begun = time.monotonic()
        try:
            return function()
        finally:
            # two threads at once may lose one of two measurements, which does no harm
            self._pace += (time.monotonic() - begun - self._pace) / 8


class Passwords:
    """Hash passwords and check them.

    Args:
        workers: threads; see `Workers`.
        queue_limit: how many calls may wait for a thread.
        memory_cost: KiB of Argon2id (the OWASP minimum: 19456).
        time_cost: its passes over the memory.
        parallelism: its lanes.

    Attributes:
        workers: the threads and their queue.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        queue_limit: int = 64,
        memory_cost: int = 19456,
        time_cost: int = 2,
        parallelism: int = 1,
    ) -> None:
        self._argon2 = Argon2Hasher(time_cost, memory_cost, parallelism)
        self._hasher = PasswordHash((self._argon2, BcryptHasher()))
        used = time.thread_time()
        self._dummy = self._hasher.hash(secrets.token_bytes(32))
        self._own = time.thread_time() - used
        self._soonest_no = 0.0
        self.workers = Workers(workers, queue_limit, pace=self._own)

    async def hash(self, password: str) -> str:
        """Return the hash to store, made of the password exactly as it came.

        Raises:
            Refused: `password_rejected` when it is empty, over `HARD_LIMIT` or has no UTF-8, all of which
                `wsauth.core.passwords.reasons` would have said; `unavailable` and `draining` as `Workers.run`.
        """
        if (secret := _encoded(password)) is None:
            raise Refused("password_rejected", "the password is empty, far too long, or has no UTF-8")
        return await self.workers.run(partial(self._hasher.hash, secret))

    async def verify(self, password: str, hashed: str | None) -> Verdict:
        """Check a password, at the same cost whether or not there is a hash.

        As it came; where that is wrong, and typed otherwise it would be another, its NFKC form (SP 800-63B-4 section
        3.1.1.2): keyboards differ in how they make the same character.

        Args:
            password: as it came.
            hashed: of the user; `None` or empty for a user that is unknown, disabled or has none: never good.

        Raises:
            Refused: `unavailable` and `draining` as `Workers.run`; nothing else.
        """
        verdict, begun = await self.workers.run(partial(self._check, _forms(password), hashed))
        if not verdict.good:
            await asyncio.sleep(begun + self._soonest_no - time.monotonic())
        return verdict

    async def aclose(self) -> None:
        """End the threads without waiting for what is queued."""
        await self.workers.aclose()

    def _check(self, forms: Sequence[bytes], hashed: str | None) -> tuple[Verdict, float]:
        """Return the verdict and when the work on it began."""
        begun = time.monotonic()
        if not forms or not hashed or not verifiable(hashed):
            for form in forms or [b""]:
                self._hasher.verify(form, self._dummy)
            return Verdict(False), begun
        imported = BcryptHasher.identify(hashed)
        used = time.thread_time()
        secret = next((form for form in forms if self._is_of(form, hashed, imported)), None)
        good = secret is not None
        if not imported and not self._argon2.check_needs_rehash(hashed):
            return Verdict(good), begun
        self._soonest_no = max(self._soonest_no, _HEADROOM * max(self._own, time.thread_time() - used))
        proven = secret is not None and not (imported and len(secret) > _BCRYPT_LIMIT)
        return Verdict(good, self._hasher.hash(secret) if proven and secret is not None else None), begun

    def _is_of(self, secret: bytes, hashed: str, imported: bool) -> bool:
        try:
            return self._hasher.verify(secret[:_BCRYPT_LIMIT] if imported else secret, hashed)
        except ValueError:  # it has the form of bcrypt, but no salt of it
            self._hasher.verify(secret, self._dummy)
            return False


def _forms(password: str) -> list[bytes]:
    """Return the UTF-8 of a password as it came and of its NFKC form, where that is another; none for nobody's."""
    forms = (password, unicodedata.normalize("NFKC", password) if len(password) <= HARD_LIMIT else "")
    return list(dict.fromkeys(form for form in map(_encoded, forms) if form is not None))


def _encoded(password: str) -> bytes | None:
    """Return the password's UTF-8, or `None` for what can be nobody's password."""
    if 0 < len(password) <= HARD_LIMIT:
        with suppress(UnicodeEncodeError):
            return password.encode()
    return None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _be_nice() -> None:
    """Let the event loop go first: on Linux a priority belongs to a thread, elsewhere to the process.

    Where a sandbox forbids that, the threads work as they are.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.nice(_NICE)
