"""Let what comes in one moment begin one after another, with everybody else's turn between: connections, requests."""

import asyncio
from collections import deque

from wsauth.integrations.asgi.types import App, Receive, Scope, Send

__all__ = ["InTurn", "Turns"]


class Turns:
    """Let one begin at a time, and the loop look at the sockets before the next does.

    Once begun they run as they are: whoever waits for a password is in nobody's way.

    Without it, two hundred logins in one moment are begun in one go, and every open socket waits for all of them.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Return when it is one's turn."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._taken = True
            loop.call_soon(self._next)

    def _next(self) -> None:
        """Let the next one begin, and come again in the loop's next round."""
        self._taken = False
        while self._waiting and not self._taken:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._taken = True
        if self._taken:
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
