"""What time it is, and being woken."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "Timer"]


class Timer(Protocol):
    """Be one pending call of a clock."""

    def cancel(self) -> None:
        """Forget the call; harmless when it has already been made."""


class Clock(Protocol):
    """Tell the time and call back."""

    def now(self) -> float:
        """Return seconds since the epoch; never less than it returned before."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running event loop at `when` (seconds since the epoch) or as soon as it is past."""
