"""Bring alerts to webhooks as Standard Webhooks says: signed, again after a failure, each with an id that stays.

Each webhook has a queue of its own and one delivery at a time. What fails goes behind the others and is tried again
later, for a day; a receiver that is down is asked less and less often. What was noticed is in the audit log as well.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from secrets import token_hex
from typing import Final

import httpx2
import msgspec

from wsauth.core import events
from wsauth.core.webhooks import Webhook
from wsauth.interfaces.clock import Clock
from wsauth.services.events import Bus
from wsauth.services.http import client

__all__ = ["Webhooks", "backoff"]

_log = logging.getLogger("wsauth")

_WAITING: Final = 1000
"""Alerts that may wait for one webhook."""
_TIME_LIMIT: Final = 10.0
"""Seconds that a receiver may take to answer."""
_TRIED_FOR: Final = 86_400.0
"""Seconds after which an alert that could not be delivered is given up."""
_FIRST, _LAST = 1.0, 300.0
"""Seconds until the first and, at most, until any further attempt."""
_PATIENCE: Final = 3.0
"""Seconds that what waits may take at the end."""


class Webhooks:
    """Bring alerts to all webhooks that want them.

    Args:
        webhooks: where to.
        clock: tells the time.
        bus: is told what became of each.
    """

    def __init__(self, webhooks: Sequence[Webhook], *, clock: Clock, bus: Bus) -> None:
        self._receivers = [_Receiver(webhook, clock, bus) for webhook in webhooks]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to bring them."""
        self._tasks = [asyncio.create_task(receiver.run()) for receiver in self._receivers]

    def tell(self, notice: events.Noticed, actions: tuple[str, ...]) -> None:
        """Take an alert, at once."""
        message = _Message(f"msg_{token_hex(16)}", notice.at, _body(notice, actions))
        for receiver in self._receivers:
            receiver.take(notice.what, message)

    async def aclose(self) -> None:
        """Bring what waits, within seconds, and end; what could not be brought is counted in the log."""
        for receiver in self._receivers:
            receiver.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_PATIENCE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for receiver in self._receivers:
            receiver.give_up()


class _Message(msgspec.Struct, frozen=True):
    id: str
    at: float
    body: bytes


class _Receiver:
    """Bring messages to one webhook, one at a time."""

    def __init__(self, webhook: Webhook, clock: Clock, bus: Bus) -> None:
        self._webhook = webhook
        self._clock = clock
        self._bus = bus
        self._queue: deque[_Message] = deque()
        self._changed = asyncio.Event()
        self._random = Random()  # noqa: S311  it spreads attempts
        self._failures = 0
        self._left_out = 0
        self._undelivered = 0
        self._ending = False

    def take(self, what: str, message: _Message) -> None:
        """Have a message wait, where it is wanted and there is room."""
        if self._webhook.events and what not in self._webhook.events:
            return
        if len(self._queue) >= _WAITING:
            if not self._left_out:
                _log.error("%s takes no alerts, and %d wait: the next are left out", self._webhook.host, _WAITING)
            self._left_out += 1
            self._told("lost", message)
            return
        self._queue.append(message)
        self._changed.set()

    def end(self) -> None:
        """Try what waits once more, and take it that no more comes."""
        self._ending = True
        self._changed.set()

    def give_up(self) -> None:
        """Say what was not delivered."""
        lost = len(self._queue) + self._undelivered
        if lost:
            _log.error("%d alerts for %s were not delivered; the audit log has them", lost, self._webhook.host)

    async def run(self) -> None:
        """Deliver until the end."""
        async with client(_TIME_LIMIT) as sending:
            while self._queue or not self._ending:
                if not self._queue:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                await self._try(sending, self._queue.popleft())

    async def _try(self, sending: httpx2.AsyncClient, message: _Message) -> None:
        try:
            problem, wait = await self._deliver(sending, message)
        except asyncio.CancelledError:
            self._queue.appendleft(message)
            raise
        if not problem:
            if self._failures or self._left_out:
                _log.warning("%s takes alerts again; %d were left out", self._webhook.host, self._left_out)
            self._failures = self._left_out = 0
            self._told("delivered", message)
            return
        self._failures += 1
        if self._failures == 1:
            _log.warning("an alert could not be delivered to %s, and is tried again: %s", self._webhook.host, problem)
        if self._ending:
            self._undelivered += 1
            return
        if self._clock.now() - message.at >= _TRIED_FOR:
            _log.error("%s: alert %s is given up: %s", self._webhook.host, message.id, problem)
            self._told("lost", message)
        else:
            self._queue.append(message)
        self._changed.clear()
        await self._pause(max(wait, backoff(self._failures, self._random.random)))

    async def _pause(self, seconds: float) -> None:
        """Wait; only the end is a reason to go on sooner."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._ending:
                    await self._changed.wait()
                    self._changed.clear()

    async def _deliver(self, sending: httpx2.AsyncClient, message: _Message) -> tuple[str, float]:
        """Return what went wrong, empty where nothing did, and how many seconds the receiver asks us to wait."""
        now = self._clock.now()
        headers = self._webhook.headers(message.id, now, message.body)
        try:
            async with (
                asyncio.timeout(_TIME_LIMIT),
                sending.stream("POST", self._webhook.url, headers=headers, content=message.body) as response,
            ):
                if response.is_success:
                    return "", 0.0
                return f"it answered {response.status_code}", _asked(response.headers.get("Retry-After", ""))
        except TimeoutError:
            return f"no answer within {_TIME_LIMIT:g} s", 0.0
        except Exception as error:  # noqa: BLE001  whatever it is, it is tried again
            return type(error).__name__, 0.0

    def _told(self, outcome: str, message: _Message) -> None:
        now = self._clock.now()
        self._bus.publish(events.Alerted(at=now, seconds=max(0.0, now - message.at), outcome=outcome))


def backoff(failures: int, draw: Callable[[], float]) -> float:
    """Return the seconds until the next attempt, spread over the second half of a time that doubles.

    Args:
        failures: in a row, from 1.
        draw: returns a random number from 0 to 1.
    """
    longest: float = min(_LAST, _FIRST * 2 ** min(failures, 20))
    return longest * (0.5 + draw() / 2)


def _asked(retry_after: str) -> float:
    """Return the seconds of `Retry-After`, where it is a number; at most as long as any attempt waits."""
    return min(_LAST, float(retry_after)) if retry_after.isascii() and retry_after.isdigit() else 0.0


def _body(notice: events.Noticed, actions: tuple[str, ...]) -> bytes:
    """Return an alert as JSON: `type`, `timestamp` and `data`, in which only what is known stands."""
    data = {name: value for name in notice.__struct_fields__ if (value := getattr(notice, name)) not in (None, "")}
    data.pop("at")
    what = data.pop("what")
    at = datetime.fromtimestamp(notice.at, UTC)
    return msgspec.json.encode({"type": what, "timestamp": at, "data": {**data, "actions": actions}})
