"""A clock that the test moves: hours pass at once, and every deadline of wsauth comes due in order."""

import asyncio
import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["FakeClock"]

_PATIENCE = 5.0
"""Seconds of real time that another thread's event loop may take for one callback."""


class _Timer:
    """Be one pending call."""

    __slots__ = ("callback", "loop", "order", "when")

    def __init__(self, when: float, order: int, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self.when = when
        self.order = order
        self.loop = loop
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "_Timer") -> bool:
        return (self.when, self.order) < (other.when, other.order)

    def cancel(self) -> None:
        """Forget the call."""
        self.callback = None

    def fire(self) -> None:
        """Make the call, once, unless it was cancelled."""
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class FakeClock:
    """Stand still until the test says `advance`.

    Give it to the guard and to its verifiers: `Guard(…, clock=clock)`, `JWTVerifier(…, clock=clock)`. It may be moved
    from another thread than the one in which the application runs (`live_server`).

    Args:
        now: where it begins, in seconds since the epoch; by default the time it is, so that tokens which other
            code makes are good.
    """

    def __init__(self, now: float | None = None) -> None:
        self._now = time.time() if now is None else now
        self._timers: list[_Timer] = []
        self._order = 0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return seconds since the epoch, as the test has set them."""
        with self._lock:
            return self._now

    def call_at(self, when: float, callback: Callable[[], None]) -> _Timer:
        """Call `callback` on the running event loop once the clock has been moved to `when`."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._order += 1
            timer = _Timer(when, self._order, loop, callback)
            if when > self._now:
                heapq.heappush(self._timers, timer)
                return timer
        loop.call_soon(timer.fire)
        return timer

    def advance(self, seconds: float) -> None:
        """Move the clock on and make each call that comes due, in order, at its own time and on its own loop.

        Raises:
            ValueError: `seconds` is negative; a clock does not go back.
            TimeoutError: another thread's event loop did not run a callback within five seconds.
        """
        if seconds < 0:
            raise ValueError("a clock does not go back: seconds must not be negative")
        with self._lock:
            until = self._now + seconds
        while (timer := self._next(until)) is not None:
            _run(timer)

    def _next(self, until: float) -> _Timer | None:
        """Move to the next call that is due by `until` and return it, or move to `until`."""
        with self._lock:
            while self._timers and self._timers[0].when <= until:
                timer = heapq.heappop(self._timers)
                if timer.callback is not None:
                    self._now = max(self._now, timer.when)
                    return timer
            self._now = max(self._now, until)
            return None


def _run(timer: _Timer) -> None:
    """Fire on the timer's loop, and wait for it where that is another thread's."""
    if timer.loop is _running_loop():
        timer.fire()
    elif timer.loop.is_running():
        done: Future[None] = Future()

        def fire() -> None:
            try:
                timer.fire()
            except BaseException as error:  # noqa: BLE001  it is raised in the thread that moved the clock
                done.set_exception(error)
            else:
                done.set_result(None)

        timer.loop.call_soon_threadsafe(fire)
        done.result(_PATIENCE)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
