"""A connection from its handshake to its close: signs in, prints, sends, and renews the lease in time."""

import asyncio
import sys
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from wsauth.cli.login import Login, NoLogin
from wsauth.cli.output import clean, say
from wsauth.cli.typed import Lines
from wsauth.cli.wording import close_line, control, line, problem_line
from wsauth.core.protocol.wire import SUBPROTOCOL

__all__ = ["Conversation"]

_NORMAL: Final = 1000
_PATIENCE: Final = 20.0
"""Seconds that connecting may take."""


class Conversation:
    """Talk to one server.

    Args:
        url: of the WebSocket.
        login: what is presented; `None` for nobody.
        lines: of standard input.
    """

    def __init__(self, url: str, login: Login | None, lines: Lines) -> None:
        self._url = url
        self._login = login
        self._lines = lines
        self._renewal: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = False
        self._sending = False
        self._failed = False

    async def run(self) -> int:
        """Return the exit status: 0 when the connection was closed normally."""
        offered = [SUBPROTOCOL, *(self._login.offer() if self._login else ())]
        try:
            async with asyncio.timeout(_PATIENCE):
                socket = await connect(
                    self._url, subprotocols=[Subprotocol(name) for name in offered], compression=None, max_size=None
                )
        except InvalidStatus as error:
            say(problem_line(error.response.status_code, error.response.body or b""))
            return 1
        except (InvalidHandshake, TimeoutError, OSError) as error:
            say(f"no connection to {self._url.partition('?')[0]}: {_why(error)}")
            return 1
        try:
            return await self._talk(socket)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._renewal is not None:
                self._renewal.cancel()
            await socket.close()
            if self._login is not None:
                await self._login.logout()

    async def _talk(self, socket: ClientConnection) -> int:
        if socket.subprotocol != SUBPROTOCOL:
            if self._login is not None and self._login.kind == "password":
                say("the server does not speak wsauth, and was not told the password")
                return 1
            self._send_lines(socket)
        try:
            async for message in socket:
                await self._take(message, socket)
        except ConnectionClosed:
            pass
        code = socket.close_code or 1006
        if code == _NORMAL:
            return 1 if self._failed else 0
        say(close_line(code, socket.close_reason or ""))
        return 1

    async def _take(self, message: str | bytes, socket: ClientConnection) -> None:
        if isinstance(message, bytes):
            say(f"a binary message of {len(message)} bytes came")
            return
        found = control(message) if socket.subprotocol == SUBPROTOCOL else None
        if found is None:
            # A terminal would act on what a stranger sends; a program gets it as it is.
            sys.stdout.write((clean(message) if sys.stdout.isatty() else message) + "\n")
            sys.stdout.flush()
            return
        say(line(found))
        await self._heed(found, socket)

    async def _heed(self, message: dict[str, Any], socket: ClientConnection) -> None:
        kind = message["type"]
        password = self._login is not None and self._login.kind == "password"
        nobody = kind == "auth_required" or (kind == "auth_success" and message.get("subject") is None)
        if password and nobody and not self._asked:
            self._asked = True
            accept = message.get("accept")
            self._spawn(self._sign_in(socket, accept if isinstance(accept, list) else []))
        elif kind == "auth_success":
            self._send_lines(socket)
            if password and isinstance(message.get("renew_in"), int | float):
                self._renew_in(message["renew_in"], socket)

    async def _sign_in(self, socket: ClientConnection, accept: list[str] | None = None) -> None:
        if self._login is None:
            return
        try:
            await socket.send(await self._login.message(accept))
        except NoLogin as error:
            say(str(error))
            if accept is not None:  # a lease that cannot be renewed goes on until its end
                self._failed = True
                await socket.close()

    def _renew_in(self, seconds: float, socket: ClientConnection) -> None:
        if self._renewal is not None:
            self._renewal.cancel()

        def renew() -> None:
            self._spawn(self._sign_in(socket))

        self._renewal = asyncio.get_running_loop().call_later(max(0.0, seconds), renew)

    def _send_lines(self, socket: ClientConnection) -> None:
        """Begin to send; not before the login, where every message costs an attempt."""
        if not self._sending:
            self._sending = True
            self._spawn(self._send(socket))

    async def _send(self, socket: ClientConnection) -> None:
        typed = self._lines.follow(asyncio.get_running_loop())
        while (text := await typed.get()) is not None:
            await socket.send(text)
        if sys.stdin.isatty():
            await socket.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _quietly(work: Any) -> None:
    """Do it; that the connection has closed meanwhile is said elsewhere."""
    try:
        await work
    except ConnectionClosed:
        return


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_PATIENCE:.0f} s"
    return clean(error.strerror or str(error)) if isinstance(error, OSError) else clean(str(error))
