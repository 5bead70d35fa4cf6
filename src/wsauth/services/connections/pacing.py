"""How fast the messages of one connection are read (`limits.messages_per_connection`)."""

import asyncio
from collections.abc import Callable

from wsauth.core.throttling import Bucket, Rate

__all__ = ["Pace"]


class Pace:
    """Tell a host when it may read on.

    Args:
        rate: of messages.
        go_on: called when the next message may come, once for a `wait`.
    """

    __slots__ = ("_bucket", "_go_on", "_timer")

    def __init__(self, rate: Rate, go_on: Callable[[], None]) -> None:
        self._bucket = Bucket(rate)
        self._go_on = go_on
        self._timer: asyncio.TimerHandle | None = None

    def left(self) -> int:
        """Return how many messages may come now."""
        return self._bucket.left(asyncio.get_running_loop().time())

    def count(self, messages: int) -> None:
        """Count messages that came."""
        if messages:
            self._bucket.charge(messages, asyncio.get_running_loop().time())

    def wait(self) -> None:
        """Call back when the next message may come; again is harmless."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._bucket.wait(loop.time()), self._woken)

    def stop(self) -> None:
        """Call back no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _woken(self) -> None:
        self._timer = None
        self._go_on()
