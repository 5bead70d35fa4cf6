"""Ask somebody else's server about credentials: few at a time, never twice at once, not while it is down.

An answer is kept for seconds only, so that what was revoked there is dead here within them; whoever stands on an
answer for longer asks again.
"""

import asyncio
import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote_plus

import httpx2

from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.tokens.verified import VerifiedTokens
from wsauth.errors import Refused
from wsauth.interfaces.clock import Clock
from wsauth.services.http import client

__all__ = ["KEPT", "Answers", "Endpoint", "client_authentication", "is_askable"]

KEPT: Final = 5.0
"""Seconds that an answer is kept, at most."""
_TIME_LIMIT: Final = 5.0
"""Seconds from the connect to the last byte."""
_SIZE_LIMIT: Final = 64 * 1024
"""Bytes of an answer."""
_AT_ONCE: Final = 32
"""Questions under way at one endpoint."""
_WAITING: Final = 1000
"""Questions that wait for their turn; what comes beyond is refused at once."""
_PATIENCE: Final = 5
"""Failures in a row after which the endpoint is left alone for a while."""
_LONGEST: Final = 30.0
"""Seconds that it is left alone, at most; at first one, then twice as long each time."""

_DOUBLINGS: Final = 5
_QUIET: Final = 60.0
"""Seconds between two lines of the log about answers that cannot be used."""
_VISIBLE: Final = re.compile(r"[!-~]+", re.ASCII)

_log = logging.getLogger("wsauth")


class Endpoint:
    """Be somebody else's server, as far as it can be asked.

    Args:
        url: of the endpoint.
        clock: tells the time.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self._clock = clock
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._failures = 0
        self._closed_until = 0.0
        self._probing = False
        self._quiet_until = 0.0
        self._http: httpx2.AsyncClient | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    async def ask(
        self, method: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of the answer.

        Raises:
            Refused: `unavailable`: there was no answer, or one of its own failures, and when to try again.
        """
        question = _Question(method, headers, form)
        if self._is_down:
            return await self._probe(question)
        if self._waiting >= _WAITING:
            raise self._unavailable("too many questions wait", 1.0)
        self._waiting += 1
        try:
            async with self._turn:
                if self._is_down:
                    raise self._unavailable("it has failed too often", self._closed_until - self._clock.now())
                return await self._answer(question)
        finally:
            self._waiting -= 1

    def unusable(self, why: str) -> Refused:
        """Return the refusal that stands for an answer that says nothing; once in a minute the log has it."""
        now = self._clock.now()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            _log.error("what %s answers cannot be used: %s", self.url, why)
        return self._unavailable(why, 1.0)

    async def aclose(self) -> None:
        """Ask no more, and close what is open to it."""
        self._closed = True
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    @property
    def _is_down(self) -> bool:
        return self._failures >= _PATIENCE

    async def _probe(self, question: "_Question") -> tuple[int, bytes]:
        """Ask one question after a while, and no other before it is answered."""
        wait = self._closed_until - self._clock.now()
        if wait > 0 or self._probing:
            raise self._unavailable("it has failed too often", wait)
        self._probing = True
        try:
            return await self._answer(question, probing=True)
        finally:
            self._probing = False

    async def _answer(self, question: "_Question", *, probing: bool = False) -> tuple[int, bytes]:
        if self._closed:
            raise self._unavailable("we are ending", 1.0)
        if self._http is None:
            self._http = client(_TIME_LIMIT)
        try:
            async with asyncio.timeout(_TIME_LIMIT):
                status, body = await self._read(self._http, question)
        except TimeoutError:
            raise self._failed(f"no answer within {_TIME_LIMIT:g} s", probing) from None
        except (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol, httpx2.InvalidURL, UnicodeError) as error:
            raise self._unavailable(f"it cannot be asked so: {type(error).__name__}", 1.0) from None
        except (httpx2.HTTPError, OSError) as error:
            raise self._failed(type(error).__name__, probing) from None
        if len(body) > _SIZE_LIMIT:
            raise self._failed(f"an answer of more than {_SIZE_LIMIT // 1024} KiB", probing)
        if status == httpx2.codes.TOO_MANY_REQUESTS or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise self._failed(f"status {status}", probing)
        if self._failures:
            _log.info("%s answers again", self.url)
        self._failures = 0
        return status, body

    async def _read(self, http: httpx2.AsyncClient, question: "_Question") -> tuple[int, bytes]:
        """Return status and body, which is cut off behind the first byte that is too many."""
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wsauth"}
        async with http.stream(
            question.method, self.url, headers=sent | {**question.headers}, data=question.form
        ) as response:
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > _SIZE_LIMIT:
                    break
            return response.status_code, bytes(body)

    def _failed(self, why: str, probing: bool) -> Refused:
        if self._is_down and not probing:  # it was asked before it was known to be down
            return self._unavailable(why, 1.0)
        self._failures += 1
        wait = 1.0
        if self._is_down:
            wait = min(_LONGEST, 2.0 ** min(self._failures - _PATIENCE, _DOUBLINGS))
            self._closed_until = self._clock.now() + wait
        if self._failures in (1, _PATIENCE):
            _log.warning("%s cannot be asked (%s): nobody new gets in by it meanwhile", self.url, why)
        return self._unavailable(why, wait)

    def _unavailable(self, why: str, wait: float) -> Refused:
        return Refused("unavailable", f"{self.url}: {why}", retry_after=max(1.0, wait))


class _Question(NamedTuple):
    method: str
    headers: Mapping[str, str]
    form: Mapping[str, str] | None


def is_askable(credentials: Credentials, cookie: str) -> bool:
    """Tell whether somebody else can be asked about these: a token, or what stands in a cookie of that name."""
    if credentials.kind != "token" or credentials.cookie not in ("", cookie):
        return False
    return _VISIBLE.fullmatch(credentials.secret) is not None


def client_authentication(way: str, client_id: str, client_secret: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the fields that say who asks (RFC 6749 section 2.3.1); without a secret only the name."""
    if not client_secret:
        return {}, {"client_id": client_id}
    if way == "post":
        return {}, {"client_id": client_id, "client_secret": client_secret}
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, {}


Ask = Callable[[], Awaitable[Identity | None]]
"""Returns whose credentials they are, `None` for nobody's."""


class Answers:
    """Keep what was answered about credentials, and ask about the same ones only once at a time.

    Args:
        clock: tells the time.
        kept: seconds that an answer is kept.
    """

    def __init__(self, clock: Clock, kept: float) -> None:
        self._clock = clock
        self._kept = min(KEPT, kept)
        self._good = VerifiedTokens()
        self._bad = VerifiedTokens()
        self._asking: dict[str, _Asking] = {}

    async def get(self, secret: str, ask: Ask, *, fresh: bool = False) -> Identity | None:
        """Return whose the credentials are, `None` for nobody's.

        Args:
            secret: the credentials.
            ask: asks about them.
            fresh: an answer that is kept does not do.

        Raises:
            Refused: as `ask`.
        """
        now = self._clock.now()
        if not fresh:
            known = self._good.get(secret, now) or self._bad.get(secret, now)
            if known is not None:
                return None if known is NOBODY else known
        asking = self._asking.get(secret)
        if asking is None:
            asking = self._asking[secret] = _Asking(asyncio.ensure_future(self._asked(secret, ask)))
            asking.task.add_done_callback(lambda done: self._answered(secret, done))
        asking.waiting += 1
        try:
            # Whoever gives up must not take the answer away from the others.
            await asyncio.wait([asking.task])
        finally:
            asking.waiting -= 1
            if not asking.waiting and self._asking.get(secret) is asking:
                del self._asking[secret]
                asking.task.cancel()
        if asking.task.cancelled():
            raise Refused("unavailable", "nobody is asked any more", retry_after=1)
        return asking.task.result()

    async def aclose(self) -> None:
        """Ask no more."""
        tasks = [asking.task for asking in self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _answered(self, secret: str, task: "asyncio.Task[Identity | None]") -> None:
        if (asking := self._asking.get(secret)) is not None and asking.task is task:
            del self._asking[secret]
        if not task.cancelled():
            task.exception()  # looked at, also where everybody who asked has left

    async def _asked(self, secret: str, ask: Ask) -> Identity | None:
        found = await ask()
        until = self._clock.now() + self._kept
        if found is None:
            self._bad.put(secret, NOBODY, until)
        else:
            self._good.put(secret, found, until if found.expires_at is None else min(until, found.expires_at))
        return found


class _Asking:
    """Be a question under way, and how many wait for its answer."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: "asyncio.Task[Identity | None]") -> None:
        self.task = task
        self.waiting = 0
