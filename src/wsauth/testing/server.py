"""An application on a real server: in-process test clients show close codes that no client on a network would see."""

import asyncio
import logging
import socket
import threading
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["LiveServer", "live_server"]

_Result = TypeVar("_Result")
_PATIENCE = 10.0
"""Seconds that the application may take to start, to stop, and for each `LiveServer.run`."""


class LiveServer:
    """Be a server that runs.

    Attributes:
        url: `http://127.0.0.1:PORT`.
        ws_url: `ws://127.0.0.1:PORT`.
    """

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}"
        self._loop = loop

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine where the application runs: `server.run(guard.revoke(subject="alice"))`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    def __repr__(self) -> str:
        return f"LiveServer({self.url!r})"


@contextmanager
def live_server(app: Any) -> Generator[LiveServer]:
    """Run an ASGI application on uvicorn, in a thread of this process, on a free port of 127.0.0.1.

    The test shares the application's objects: `guard.override`, a `FakeClock`, and through `LiveServer.run` whatever
    is a coroutine.

    Raises:
        RuntimeError: the application did not start.
        TimeoutError: it did not start or stop in time.
    """
    import uvicorn

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="websockets-sansio", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    started: Future[asyncio.AbstractEventLoop] = Future()
    startup = server.startup

    async def note(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets)
        if server.started:
            started.set_result(asyncio.get_running_loop())

    server.startup = note  # type: ignore[method-assign]  # uvicorn has no other word for "it listens now"
    thread = threading.Thread(target=_run, args=(server, listener, started), name="wsauth live_server", daemon=True)
    thread.start()
    try:
        loop = started.result(_PATIENCE)
        yield LiveServer(listener.getsockname()[1], loop)
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)
        listener.close()
    if thread.is_alive():
        raise TimeoutError(f"the application did not stop within {_PATIENCE:.0f} s")


def _run(server: Any, listener: socket.socket, started: "Future[asyncio.AbstractEventLoop]") -> None:
    try:
        server.run(sockets=[listener])
    except BaseException as error:  # a thread has nobody above it; the test hears of it
        if not started.done():
            started.set_exception(RuntimeError(f"the application did not start: {error!r}"))
        else:
            logging.getLogger("wsauth").exception("the live server ended")
    if not started.done():
        started.set_exception(RuntimeError("the application did not start; uvicorn's log says why"))
