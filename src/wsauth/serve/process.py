"""The life of one process that serves: start, accept, and on a signal drain and end."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
import uvloop

from wsauth.core.peers import Peers
from wsauth.gateway import Gateway
from wsauth.gateway.configured import upstreams_of
from wsauth.integrations.asgi.types import App
from wsauth.serve.application import Application, Factory
from wsauth.serve.certificates import HSTS, Certificates
from wsauth.serve.hosts import Hosts
from wsauth.serve.http_protocol import Upgrade, protocol
from wsauth.serve.listening import Listening
from wsauth.serve.local import LocalServers
from wsauth.serve.proxies import Proxies
from wsauth.serve.turns import InTurn, Turns
from wsauth.settings import Settings
from wsauth.settings.server import is_loopback

__all__ = ["GRACE", "Told", "serve"]

_log: Final = logging.getLogger("wsauth")
GRACE: Final = 5
"""Seconds beyond `drain_timeout` that the application's drain may take, and again for what is still being answered."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_THRESHOLDS: Final = (50_000, 20, 100)
"""Of the garbage collector: a full collection over many connections stops the loop for a fifth of a second."""


def _nothing() -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Told:
    """Hear how far a process is.

    Attributes:
        accepting: called once when connections are accepted.
        reloading: called when certificates are read again because somebody asked.
        stopping: called once when nothing is accepted any more.
    """

    accepting: Callable[[], None]
    reloading: Callable[[], None] = _nothing
    stopping: Callable[[], None] = _nothing


class Process:
    """Serve one application on sockets that listen already.

    Args:
        application: ours.
        settings: the configuration.
        listening: its sockets.
        told: who is told how far we are.
        hurry: called with the exit status on a second signal; `None` where only the parent decides about that.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        listening: Listening,
        *,
        told: Told,
        hurry: Callable[[int], None] | None,
    ) -> None:
        self._application = application
        self._settings = settings
        self._listening = listening
        self._told = told
        self._hurry = hurry
        self._stop = asyncio.Event()
        self._certificates = Certificates(settings) if settings.server.tls else None
        compression = any(route.compression for route in settings.routes)
        self._local = LocalServers(application.applications, application.guard, compression=compression)

    async def run(self) -> None:
        """Serve until a signal, and end in order."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._signalled, 0)
        if self._hurry is not None:
            loop.add_signal_handler(signal.SIGINT, self._signalled, 128 + signal.SIGINT)
        try:
            async with AsyncExitStack() as until:
                until.callback(self._local.close)
                await self._run(until)
        finally:
            await self._application.aclose()

    async def _run(self, until: AsyncExitStack) -> None:
        application, local = self._application, self._local
        gateway = self._gateway(local.urls)
        until.callback(gateway.stop)
        await application.start()
        await gateway.start()
        _settle_memory()
        servers = self._servers(gateway)
        async with asyncio.TaskGroup() as serving:
            for inner in local.servers:
                serving.create_task(inner.serve())
            await local.ready()
            for server in servers:
                serving.create_task(server.serve())
            for server in servers:
                await server.accepts.wait()
            following = serving.create_task(self._follow(servers))
            self._told.accepting()
            await self._stop.wait()
            self._told.stopping()
            following.cancel()
            gateway.refuse()
            for server in servers:
                server.refuse()
            self._listening.close()
            await self._drain()
            for each in (*servers, *local.servers):
                each.should_exit = True

    def _signalled(self, status: int) -> None:
        if self._stop.is_set() and self._hurry is not None:
            self._local.close()
            self._hurry(status)
        self._stop.set()

    async def _follow(self, servers: "list[Server]") -> None:
        """Use certificates that are new, for whoever connects from then on."""
        if self._certificates is None:
            return
        asked = asyncio.Event()

        def reload() -> None:
            self._told.reloading()
            asked.set()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)

        async def use(context: ssl.SSLContext) -> None:
            for server in servers:
                await server.use(context)

        await self._certificates.follow(asked, use)

    async def _drain(self) -> None:
        within = self._settings.server.drain_timeout
        try:
            async with asyncio.timeout(within + GRACE):
                await self._application.drain(within)
        except TimeoutError:
            _log.warning("not every socket was closed within server.drain_timeout; the rest is cut")

    @property
    def _names(self) -> frozenset[str]:
        return self._settings.allowed_hosts(urlsplit(self._listening.urls.public).port)

    @property
    def _exposed(self) -> bool:
        """Whether other machines come in without TLS of ours, so that only proxies may."""
        server = self._settings.server
        return bool(server.proxies) and not is_loopback(server.host) and not server.tls

    @property
    def _headers(self) -> list[tuple[str, str]]:
        return [HSTS] if self._certificates or self._settings.server.trusted_proxies else []

    def _gateway(self, local: dict[str, str]) -> Gateway:
        server = self._settings.server
        return Gateway(
            self._application.guard,
            upstreams_of(self._settings, local),
            peers=Peers(server.proxies, only=self._exposed),
            hosts=self._names,
            sign=self._application.assertion,
            head_limit=server.max_request_head,
            request_timeout=server.request_timeout,
            headers=[(name.lower().encode(), value.encode()) for name, value in self._headers],
        )

    def _servers(self, gateway: Gateway) -> "list[Server]":
        server, listening = self._settings.server, self._listening
        context = self._certificates.context if self._certificates else None
        public: App = InTurn(Hosts(self._application.public, self._names, "server.allowed_hosts"))
        if server.proxies:
            public = Proxies(public, server.proxies, only=self._exposed)
        made = [
            Server(public, listening.public, self._settings, context=context, headers=self._headers, gateway=gateway)
        ]
        if listening.admin is not None:
            # A unix socket is out of a browser's reach, and its Host means nothing.
            admin = self._application.admin
            address = self._settings.admin.address
            if isinstance(address, tuple):
                admin = Hosts(admin, {*_LOOPBACK, address[0]}, "admin.listen")
            context = context if listening.urls.admin.startswith("https:") else None
            headers = [HSTS] if context else []
            made.append(Server(admin, listening.admin, self._settings, context=context, headers=headers, gateway=None))
        return made


class Server(uvicorn.Server):
    """Be uvicorn on one listening socket, with our protocol and without its signals.

    Args:
        app: answers HTTP.
        listener: the socket.
        settings: the configuration.
        context: of TLS, where it is spoken there.
        headers: of every answer.
        gateway: takes WebSockets, and on plain TCP accepts; `None` where there are none.
    """

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        settings: Settings,
        *,
        context: ssl.SSLContext | None,
        headers: list[tuple[str, str]],
        gateway: Gateway | None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                interface="asgi3",
                lifespan="off",
                ws="none",
                timeout_graceful_shutdown=GRACE,
                headers=headers,
            )
        )
        self.accepts = asyncio.Event()
        self._listener = listener
        self._context = context
        self._timeout = settings.server.request_timeout
        self._gateway = gateway
        upgrade: Upgrade | None = gateway.take_transport if gateway is not None else None
        self._protocol = protocol(settings.server.max_request_head, self._timeout, upgrade)
        self._arriving: set[asyncio.Task[None]] = set()
        self._turns = Turns()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to `Process`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, or have the gateway accept and hand over what is HTTP."""
        self.servers = []
        if self._gateway is not None and self._context is None:
            self._gateway.listen(self._listener, self._hand_over)
        else:
            await self._accept()
        self.started = True
        self.accepts.set()

    async def use(self, context: ssl.SSLContext) -> None:
        """Speak TLS with this from now on; whoever is connected goes on."""
        if self._context is not None:
            self._context = context
            before = list(self.servers)
            await self._accept()
            for server in before:
                self.servers.remove(server)
                server.close()

    async def _accept(self) -> None:
        """Accept, with a deadline for the TLS handshake too (uvicorn has a minute)."""
        loop: Any = asyncio.get_running_loop()  # uvloop's, which knows more than asyncio's type says
        options: dict[str, Any] = {"sock": self._listener.dup(), "backlog": 2048, "ssl": self._context}
        if self._context is not None:
            options["ssl_handshake_timeout"] = self._timeout
        if self._listener.family == socket.AF_UNIX:
            # The parent removes the file, when the last process has ended.
            made = await loop.create_unix_server(self._made, **options, cleanup_socket=False)
        else:
            made = await loop.create_server(self._made, **options)
        self.servers.append(made)

    def refuse(self) -> None:
        """Accept no more."""
        for server in self.servers:
            server.close()

    def _hand_over(self, connection: socket.socket, received: bytes) -> None:
        """Take a socket that speaks HTTP, with what was read from it."""
        task = asyncio.get_running_loop().create_task(self._arrive(connection, received))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _arrive(self, connection: socket.socket, received: bytes) -> None:
        connection.setblocking(False)
        await self._turns.wait()
        with contextlib.suppress(OSError):
            # What was read goes in with the transport: what the client sends meanwhile comes behind it.
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self._made(received), connection)

    def _made(self, received: bytes = b"") -> asyncio.Protocol:
        return self._protocol(config=self.config, server_state=self.server_state, app_state={}, received=received)


def serve(
    settings: Settings,
    factory: Factory,
    listening: Listening,
    *,
    told: Told,
    hurry: Callable[[int], None] | None = None,
    first: Callable[[], None] = lambda: None,
) -> int:
    """Serve in this process until a signal, and return its exit status.

    Args:
        settings: the configuration.
        factory: makes the application.
        listening: the sockets.
        told: who is told how far we are.
        hurry: called with the exit status on a second signal; without it only the parent decides about that.
        first: called in the loop before anything else.
    """

    async def live() -> None:
        first()
        await Process(factory.build(settings, listening.urls), settings, listening, told=told, hurry=hurry).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())
    return 0


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
