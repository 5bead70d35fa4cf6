"""One structure for the deadlines of all connections of a process; no task and no timer per connection."""

import asyncio
import logging
from heapq import heapify, heappop, heappush
from math import inf
from time import monotonic
from typing import Protocol

from wsauth.interfaces.clock import Clock, Timer

__all__ = ["SLICE", "Deadline", "Deadlines", "Due"]

_log = logging.getLogger("wsauth")

_TICK = 1.0
"""Seconds after which the clock is looked at again, so that a machine that slept is noticed."""
SLICE = 0.005
"""Seconds for which one kind of work may keep everybody else waiting."""
_SLACK = 1024
"""Outdated entries that are kept before the heap is made anew."""


class Deadline:
    """Be a deadline that was set; an outdated one wakes nobody and keeps nobody in memory."""

    __slots__ = ("what",)

    def __init__(self, what: "Due") -> None:
        self.what: Due | None = what


class Due(Protocol):
    """Be something with a deadline; `deadline` belongs to `Deadlines`."""

    deadline: Deadline | None

    def wake(self, now: float) -> None:
        """Do what is due."""


class Deadlines:
    """Wake each connection at its deadline.

    Args:
        clock: tells the time and calls back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Deadline]] = []
        self._order = 0
        self._outdated = 0
        self._timer: Timer | None = None
        self._timer_at = inf
        self._loop: asyncio.AbstractEventLoop | None = None

    def set(self, what: Due, when: float) -> None:
        """Wake `what` at `when` (seconds since the epoch) instead of any time set before; `inf` is never."""
        if what.deadline is not None:
            what.deadline.what = None
            what.deadline = None
            self._outdated += 1
        if when < inf:
            self._order += 1
            what.deadline = Deadline(what)
            heappush(self._heap, (when, self._order, what.deadline))
            if when < self._timer_at or self._loop is not asyncio.get_running_loop():
                self._arm()
        if self._outdated > _SLACK and self._outdated * 2 > len(self._heap):
            self._tidy()

    def __len__(self) -> int:
        return len(self._heap) - self._outdated

    def close(self) -> None:
        """Wake nobody any more."""
        self._heap.clear()
        self._outdated = 0
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, inf

    def _tidy(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].what is not None]
        self._outdated = 0
        heapify(self._heap)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = min(self._heap[0][0], self._clock.now() + _TICK)
        self._timer = self._clock.call_at(self._timer_at, self._run)
        self._loop = asyncio.get_running_loop()

    def _run(self) -> None:
        now = self._clock.now()
        until = monotonic() + SLICE
        self._timer, self._timer_at = None, -inf
        while self._heap and self._heap[0][0] <= now and monotonic() < until:
            what = heappop(self._heap)[2].what
            if what is None:
                self._outdated -= 1
                continue
            what.deadline = None
            try:
                what.wake(now)
            except Exception:  # noqa: BLE001  one connection's fault must not keep the others open
                _log.exception("a deadline failed")
        self._timer_at = inf
        if self._heap:
            self._arm()
