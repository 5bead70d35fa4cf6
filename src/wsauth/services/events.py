"""Hand every event to those who asked for its kind."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from wsauth.core.events import Event

__all__ = ["Bus", "Handler"]

_log = logging.getLogger("wsauth")

Handler = Callable[[Any], Awaitable[None] | None]


class Bus:
    """Hold who wants which events. A handler that fails is logged and disturbs nobody."""

    def __init__(self) -> None:
        self._handlers: dict[type[Event], list[Handler]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def subscribe(self, kind: type[Event], handler: Handler) -> None:
        """Have `handler(event)` called for every event of this kind; it may be a coroutine function."""
        self._handlers.setdefault(kind, []).append(handler)

    def publish(self, event: Event) -> None:
        """Call the handlers of the event's kind, those that await as tasks."""
        for handler in self._handlers.get(type(event), ()):
            try:
                waiting = handler(event)
            except Exception:  # noqa: BLE001  a handler is anybody's code and must not end a connection
                _log.exception("a handler of %s failed", type(event).__name__)
                continue
            if waiting is not None:
                task = asyncio.ensure_future(self._finish(waiting, type(event).__name__))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _finish(self, waiting: Awaitable[None], name: str) -> None:
        try:
            await waiting
        except Exception:  # noqa: BLE001  as above
            _log.exception("a handler of %s failed", name)
