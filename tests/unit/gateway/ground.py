"""A gateway inside this process: a real guard, real sockets, a scripted upstream, and a clock that stands still."""

import asyncio
import gc
import secrets
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from tests.rfc6455.backends import Scripted, scripted
from tests.rfc6455.peer import PATIENCE, Peer, Site, opened
from wsauth import Guard, JWTVerifier, Route
from wsauth.core.peers import Peers
from wsauth.core.protocol.machine import Machine
from wsauth.core.request import END, read
from wsauth.core.throttling import rate
from wsauth.gateway import Gateway, Upstream
from wsauth.gateway.closing import Closing
from wsauth.gateway.dialling import Dial
from wsauth.gateway.front import Front
from wsauth.gateway.link import Link
from wsauth.gateway.speaking import Speaking
from wsauth.gateway.splice import SocketLeg, TransportLeg
from wsauth.services.connections.connection import Connection
from wsauth.services.throttling import Allowances
from wsauth.testing import FakeClock, TokenIssuer

__all__ = ["SPEAKS", "WAYS", "Ground", "dead_port", "eventually", "ground", "uncollected"]

WAYS = ("socket", "transport")
"""How a client comes: on plain TCP, or on a transport of the loop, as with TLS or where HTTP was spoken before."""
SPEAKS = "Sec-WebSocket-Protocol: wsauth.v1"
KINDS = (Link, Connection, Machine, SocketLeg, TransportLeg, Speaking, Closing, Dial, Front)
"""What a connection is made of."""


class Ground:
    """Hold what a test touches.

    Attributes:
        gateway: the gateway.
        guard: its guard.
        clock: the guard's, which stands still.
        tokens: makes tokens that the guard takes.
        upstream: the server behind.
        ports: of the gateway, for each of `WAYS`.
    """

    def __init__(
        self, gateway: Gateway, guard: Guard, clock: FakeClock, tokens: TokenIssuer, upstream: Scripted
    ) -> None:
        self.gateway = gateway
        self.guard = guard
        self.clock = clock
        self.tokens = tokens
        self.upstream = upstream
        self.ports: dict[str, int] = {}

    def bearer(self, subject: str = "alice", ttl: float = 300.0) -> str:
        """Return a header line with a token."""
        return f"Authorization: Bearer {self.tokens.token(subject, ttl=ttl)}"

    def opened(self, *lines: str, path: str = "/ws", way: str = "socket", greets: bool = False) -> Any:
        """Connect a client, and shake hands."""
        return opened(Site(way, self.ports[way], path, lines, greets=greets))

    @asynccontextmanager
    async def joined(
        self, *lines: str, path: str = "/anybody", way: str = "socket"
    ) -> AsyncGenerator[tuple[Peer, Peer]]:
        """Connect a client through to the upstream, and return both peers."""
        greets = any(SPEAKS in line for line in lines)
        async with self.opened(*lines, path=path, way=way, greets=greets) as client, self.upstream.end() as backend:
            yield client, backend

    def link(self) -> Link:
        """Return the only link there is."""
        (connection,) = self.guard.connections.all()
        link: Link = connection._transport  # type: ignore[assignment]  # the host of every connection here
        return link

    @property
    def upstream_url(self) -> str:
        """Return where the upstream is."""
        return f"ws://127.0.0.1:{self.upstream.port}"

    def idle(self) -> bool:
        """Tell whether nothing of any connection is left."""
        gateway, plane = self.gateway, self.gateway.plane
        waiting = len(gateway.fronts) + len(gateway.answering) + len(gateway.closing) + len(gateway._lingering)
        return not (waiting or gateway.tasks) and len(plane._handlers) <= 1 and not len(self.guard.connections)


@asynccontextmanager
async def ground(
    *urls: str,
    upstream_timeout: float = 5.0,
    request_timeout: float = 10.0,
    tls: ssl.SSLContext | None = None,
    ca: str = "",
    messages: str = "",
    **keys: Any,
) -> AsyncGenerator[Ground]:
    """Run a gateway until the block ends.

    Args:
        urls: of the upstream; by default the scripted one.
        upstream_timeout: seconds to reach it.
        request_timeout: seconds for heads, and for the upstream's answer.
        tls: what the scripted upstream serves TLS with.
        ca: what the gateway verifies it with.
        messages: how often a client may send one.
        keys: of the routes: `/ws` wants a token, `/anybody` nothing, `/message` takes a message too.
    """
    clock = FakeClock()
    verifier = JWTVerifier(
        issuer="http://issuer.test", audience="api", secret=secrets.token_hex(32), leeway=0, clock=clock
    )
    routes = [
        Route("/ws", sources=["header"], **keys),
        Route("/anybody", anonymous=True, **keys),
        Route("/message", sources=["header", "message"], **keys),
    ]
    allowances = Allowances(messages=rate(messages, "messages"))
    guard = Guard(verifiers=[verifier], origins=[], routes=routes, closed=True, clock=clock, allowances=allowances)
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(scripted(tls))
        await guard.start()
        stack.push_async_callback(guard.aclose)
        scheme = "wss" if tls else "ws"
        addresses = Upstream(urls or [f"{scheme}://127.0.0.1:{upstream.port}"], timeout=upstream_timeout, ca=ca)
        gateway = Gateway(
            guard,
            {route.path: addresses for route in routes},
            peers=Peers([], only=False),
            hosts=["127.0.0.1"],
            request_timeout=request_timeout,
        )
        await gateway.start()
        stack.callback(gateway.stop)
        made = Ground(gateway, guard, clock, stack.enter_context(TokenIssuer(guard)), upstream)
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        gateway.listen(listening, lambda connection, _: connection.close())
        made.ports["socket"] = listening.getsockname()[1]
        server = await asyncio.get_running_loop().create_server(lambda: _Hands(gateway), "127.0.0.1", 0)
        stack.callback(server.close)
        made.ports["transport"] = server.sockets[0].getsockname()[1]
        yield made
        gateway.refuse()
        await guard.connections.drain(0)
        await eventually(made.idle, "something is left")


class _Hands(asyncio.Protocol):
    """Read a head on a transport, and hand it over, as the HTTP protocol does."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, rest = self._read.partition(END)
        if end:
            self._gateway.take_transport(self._transport, read(head + end), rest, "127.0.0.1")


def dead_port() -> int:
    """Return a port of 127.0.0.1 that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


async def eventually(condition: Callable[[], bool], what: str = "") -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it is not, after all patience.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  nothing sets an event
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(what or "it never was so") from None


@contextmanager
def uncollected() -> Iterator[Callable[[], Sequence[str]]]:
    """Turn the garbage collector off, and give a function that names what is still there of connections."""
    gc.collect()
    before = {id(each) for each in gc.get_objects() if type(each) in KINDS}

    def left() -> list[str]:
        return [type(each).__name__ for each in gc.get_objects() if type(each) in KINDS and id(each) not in before]

    gc.disable()
    try:
        yield left
    finally:
        gc.enable()
