"""The life of one process that serves: start, accept, and on a signal drain and end."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
import uvloop

from wsauth.core.units import size
from wsauth.integrations.asgi.types import App
from wsauth.serve.application import Application, Factory
from wsauth.serve.certificates import HSTS, tls
from wsauth.serve.hosts import Hosts
from wsauth.serve.http_protocol import protocol
from wsauth.serve.listening import Listening
from wsauth.serve.proxies import Proxies
from wsauth.serve.websocket_protocol import WebSocketProtocol
from wsauth.settings import Settings
from wsauth.settings.server import is_loopback

__all__ = ["GRACE", "serve"]

_log: Final = logging.getLogger("wsauth")
GRACE: Final = 5
"""Seconds beyond `drain_timeout` that the application's drain may take, and again for what is still being answered."""
_MESSAGES: Final = 4
"""How many times the largest message uvicorn takes: wsauth's own limit answers first, with its code."""
_SMALLEST: Final = 262_144
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_THRESHOLDS: Final = (50_000, 20, 100)
"""Of the garbage collector: a full collection over many connections stops the loop for a fifth of a second."""


class Process:
    """Serve one application on sockets that listen already.

    Args:
        application: ours.
        settings: the configuration.
        listening: its sockets.
        accepting: called once when connections are accepted.
        hurry: called with the exit status on a second signal; `None` where only the parent decides about that.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        listening: Listening,
        accepting: Callable[[], None],
        hurry: Callable[[int], None] | None,
    ) -> None:
        self._application = application
        self._settings = settings
        self._listening = listening
        self._accepting = accepting
        self._hurry = hurry
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until a signal, and end in order."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._signalled, 0)
        if self._hurry is not None:
            loop.add_signal_handler(signal.SIGINT, self._signalled, 128 + signal.SIGINT)
        try:
            await self._application.start()
            _settle_memory()
            servers = self._servers()
            async with asyncio.TaskGroup() as serving:
                for server in servers:
                    serving.create_task(server.serve())
                for server in servers:
                    await server.accepts.wait()
                self._accepting()
                await self._stop.wait()
                for server in servers:
                    server.refuse()
                self._listening.close()
                await self._drain()
                for server in servers:
                    server.should_exit = True
        finally:
            await self._application.aclose()

    def _signalled(self, status: int) -> None:
        if self._stop.is_set() and self._hurry is not None:
            self._hurry(status)
        self._stop.set()

    async def _drain(self) -> None:
        within = self._settings.server.drain_timeout
        try:
            async with asyncio.timeout(within + GRACE):
                await self._application.drain(within)
        except TimeoutError:
            _log.warning("not every socket was closed within server.drain_timeout; the rest is cut")

    def _servers(self) -> "list[Server]":
        server, listening = self._settings.server, self._listening
        context = tls(self._settings)
        names = self._settings.allowed_hosts(urlsplit(listening.urls.public).port)
        public: App = Hosts(self._application.public, names, "server.allowed_hosts")
        if server.proxies:
            exposed = not is_loopback(server.host) and not server.tls
            public = Proxies(public, server.proxies, only=exposed)
        made = [Server(public, listening.public, self._settings, context, bool(context or server.trusted_proxies))]
        if listening.admin is not None:
            # A unix socket is out of a browser's reach, and its Host means nothing.
            admin = self._application.admin
            address = self._settings.admin.address
            if isinstance(address, tuple):
                admin = Hosts(admin, {*_LOOPBACK, address[0]}, "admin.listen")
            context = context if listening.urls.admin.startswith("https:") else None
            made.append(Server(admin, listening.admin, self._settings, context, context is not None))
        return made


class Server(uvicorn.Server):
    """Be uvicorn on one listening socket, with our protocols and without its signals."""

    def __init__(
        self, app: App, listener: socket.socket, settings: Settings, context: ssl.SSLContext | None, hsts: bool
    ) -> None:
        largest = max((size(route.max_message, "max_message") for route in settings.routes), default=0)
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                interface="asgi3",
                lifespan="off",
                ws=WebSocketProtocol,
                ws_max_size=max(_SMALLEST, _MESSAGES * largest),
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=GRACE,
                headers=[HSTS] if hsts else [],
            )
        )
        self.accepts = asyncio.Event()
        self._listener = listener
        self._context = context
        self._timeout = settings.server.request_timeout
        self._protocol = protocol(settings.server.max_request_head, self._timeout)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `Process`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, with a deadline for the TLS handshake too (uvicorn has a minute)."""
        loop: Any = asyncio.get_running_loop()  # uvloop's, which knows more than asyncio's type says
        options: dict[str, Any] = {"sock": self._listener, "backlog": 2048, "ssl": self._context}
        if self._context is not None:
            options["ssl_handshake_timeout"] = self._timeout
        if self._listener.family == socket.AF_UNIX:
            # The parent removes the file, when the last process has ended.
            made = await loop.create_unix_server(self._made, **options, cleanup_socket=False)
        else:
            made = await loop.create_server(self._made, **options)
        self.servers = [made]
        self.started = True
        self.accepts.set()

    def refuse(self) -> None:
        """Accept no more."""
        for server in self.servers:
            server.close()

    def _made(self) -> asyncio.Protocol:
        return self._protocol(config=self.config, server_state=self.server_state, app_state={})


def serve(
    settings: Settings,
    factory: Factory,
    listening: Listening,
    *,
    accepting: Callable[[], None],
    hurry: Callable[[int], None] | None = None,
    first: Callable[[], None] = lambda: None,
) -> int:
    """Serve in this process until a signal, and return its exit status.

    Args:
        settings: the configuration.
        factory: makes the application.
        listening: the sockets.
        accepting: called once when connections are accepted.
        hurry: called with the exit status on a second signal; without it only the parent decides about that.
        first: called in the loop before anything else.
    """

    async def live() -> None:
        first()
        await Process(factory.build(settings, listening.urls), settings, listening, accepting, hurry).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())
    return 0


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
