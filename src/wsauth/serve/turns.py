"""Let what comes in one moment begin one after another, with everybody else's turn between: connections, requests."""

import asyncio
from collections import deque
from typing import Final

from wsauth.integrations.asgi.types import App, Receive, Scope, Send

__all__ = ["InTurn", "Turns"]

_AT_ONCE: Final = 2
"""Who may begin before the loop looks at the sockets again."""


class Turns:
    """Let few begin at a time. Once begun they run as they are: whoever waits for a password is in nobody's way.

    Without it, two hundred logins in one moment are begun in one go, and every open socket waits for all of them.
    """

    def __init__(self) -> None:
        self._begun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return when it is one's turn."""
        loop = asyncio.get_running_loop()
        if self._begun == 0:
            loop.call_soon(self._next)
        self._begun += 1
        if self._begun > _AT_ONCE:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn

    def _next(self) -> None:
        """Let the next ones begin, and look again in the loop's next round."""
        self._begun = 0
        while self._waiting and self._begun < _AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next)


class InTurn:
    """Be an application whose requests begin in turn.

    Args:
        app: answers them.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._turns.wait()
        await self._app(scope, receive, send)
