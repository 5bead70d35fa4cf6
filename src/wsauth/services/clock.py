"""The real clock: it never goes back, and it counts the time a machine sleeps."""

import asyncio
import logging
import time
from collections.abc import Callable

from wsauth.interfaces.clock import Timer

__all__ = ["SystemClock"]

_log = logging.getLogger("wsauth")
_STEP = 1.0
"""Seconds the wall clock may fall behind before it is an alarm."""
_since_boot: Callable[[], float] = time.monotonic
if hasattr(time, "CLOCK_BOOTTIME"):

    def _since_boot() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)


class SystemClock:
    """Tell the larger of the wall clock and what has passed since the anchor, suspension included.

    A wall clock that is set back therefore extends no lease; it is an alarm in the log.
    """

    def __init__(self) -> None:
        self._offset = time.time() - _since_boot()
        self._alarmed = False

    def now(self) -> float:
        """Return seconds since the epoch; never less than it returned before."""
        wall = time.time()
        floor = self._offset + _since_boot()
        if wall >= floor:
            self._offset += wall - floor
            return wall
        if floor - wall > _STEP and not self._alarmed:
            self._alarmed = True
            _log.error("the system clock was set back by %.0f s; leases go on by elapsed time", floor - wall)
        return floor

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running loop at `when`."""
        return asyncio.get_running_loop().call_later(max(0.0, when - self.now()), callback)
