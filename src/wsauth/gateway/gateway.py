"""The gateway of one process: routes lead to upstreams, and every WebSocket goes through a link."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from ipaddress import ip_address
from sys import intern
from typing import Any, Final

from wsauth.core import handshake as handshakes
from wsauth.core.peers import Peers
from wsauth.core.protocol.wire import CLOSE_TIMEOUT
from wsauth.core.request import Request
from wsauth.errors import Refused
from wsauth.gateway.dialling import Dial
from wsauth.gateway.front import Front, Lingering, Listener
from wsauth.gateway.link import Link
from wsauth.gateway.plane import Plane
from wsauth.gateway.responses import problem, response
from wsauth.gateway.splice import Leg, SocketLeg, TransportLeg
from wsauth.gateway.upstreams import Upstream
from wsauth.guard import Guard
from wsauth.services.connections.connection import Connection

__all__ = ["Gateway"]

_log: Final = logging.getLogger("wsauth")
_LINGER: Final = 0.5
"""Seconds that a refused peer may go on sending."""
_MISDIRECTED: Final = 421

Sign = Callable[[Connection, str], str | None]


class Gateway:
    """Carry the WebSockets of one process.

    Args:
        guard: decides.
        upstreams: for each route's path.
        peers: says who a client is.
        hosts: the names that are ours, in lower case.
        sign: returns an assertion for a connection and an upstream's URL; `None` where there is none.
        head_limit: bytes of a request's head.
        request_timeout: seconds for a head, and for an upstream's answer.
        headers: of every answer, such as HSTS.

    Attributes:
        plane: holds the descriptors.
        tasks: verifications under way.
        fronts: connections whose first head is not whole yet.
        answering: links whose upstream has not answered yet.
        closing: links that are being closed.
        waiting: whoever has not authenticated yet.
    """

    def __init__(
        self,
        guard: Guard,
        upstreams: Mapping[str, Upstream],
        *,
        peers: Peers,
        hosts: Collection[str],
        sign: Sign = lambda _connection, _audience: None,
        head_limit: int = 16_384,
        request_timeout: float = 10.0,
        headers: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        self.guard = guard
        self.plane = Plane()
        self.waiting = guard.connections.waiting
        self.assertion = sign
        self.head_limit = head_limit
        self.request_timeout = request_timeout
        self.tasks: set[asyncio.Task[None]] = set()
        self._upstreams = upstreams
        self._peers = peers
        self._hosts = frozenset(hosts)
        self.headers = headers or []
        self._listeners: list[Listener] = []
        self.fronts = self.plane.timeouts(request_timeout, Front.late)
        self.answering = self.plane.timeouts(request_timeout, Link.late)
        self.closing = self.plane.timeouts(CLOSE_TIMEOUT, Link.abort)
        self._lingering = self.plane.timeouts(_LINGER, Lingering.end)
        self._nowhere = Upstream([])
        for upstream in {id(each): each for each in (*upstreams.values(), self._nowhere)}.values():
            upstream.silent = self.plane.timeouts(upstream.timeout, Dial.silent)

    async def start(self) -> None:
        """Be ready for connections."""
        self.plane.start()
        for upstream in self._upstreams.values():
            await upstream.start()

    def listen(self, listening: socket.socket, http: Callable[[socket.socket, bytes], None]) -> None:
        """Accept on a socket without TLS."""
        listener = Listener(self, listening, http)
        listener.start()
        self._listeners.append(listener)

    def refuse(self) -> None:
        """Accept no more; nobody whose head is not whole is waited for."""
        for listener in self._listeners:
            listener.stop()

    def stop(self) -> None:
        """Let go of everything."""
        self.refuse()
        for task in self.tasks:
            task.cancel()
        self.plane.stop()

    # From the fronts.

    def take(self, connection: socket.SocketType, request: Request, early: bytes, peer: str) -> None:
        """Take a handshake from plain TCP, with what came behind it."""
        self._begin(
            request,
            early,
            peer,
            secure=False,
            certificate=None,
            end=lambda link: SocketLeg(link, self.plane, connection, True, 0),
        )

    def take_transport(self, transport: Any, request: Request, early: bytes, peer: str) -> None:
        """Take a handshake from a transport: TLS, or a connection on which HTTP was spoken before."""

        def end(link: Link) -> Leg:
            leg = TransportLeg(link, transport, True, 0)
            transport.set_protocol(leg)
            leg.hold(True)
            return leg

        self._begin(
            request,
            early,
            peer.removeprefix("::ffff:"),
            secure=transport.get_extra_info("sslcontext") is not None,
            certificate=transport.get_extra_info("peercert"),
            end=end,
        )

    def _begin(
        self,
        request: Request,
        early: bytes,
        peer: str,
        *,
        secure: bool,
        certificate: Any,
        end: Callable[[Link], Leg],
    ) -> None:
        guard = self.guard
        try:
            who = self._peers.client(request.headers, peer, request.path)
        except Refused as error:
            status = 403 if error.code == "address_blocked" else 400
            self._turn_away(end, error.code, status, error.reason, peer)
            return
        if request.host not in self._hosts:
            why = f"the Host {request.host!r} is not ours; to change it: server.allowed_hosts"
            self._turn_away(end, "request_invalid", _MISDIRECTED, why, who.address)
            return
        secure = secure or who.secure
        private = secure or _is_loopback(who.address)
        asked = handshakes.read_raw(
            request.headers,
            request.query,
            request.path,
            guard.routes,
            private=private,
            cookies=guard.cookies,
            certificate=certificate,
        )
        link = Link(self, self._upstreams.get(asked.policy.path, self._nowhere), request, who, secure)
        link.client = end(link)
        # Texts that many connections have in common are held once.
        path = asked.policy.path if asked.policy.path == request.path else request.path
        link.connection = guard.connections.open(asked, link, path, intern(who.address), private)
        try:
            link.begin(early)
        except Exception:  # noqa: BLE001  one connection's fault must not end the others
            _log.exception("a connection failed")
            link.failed()

    def _turn_away(self, end: Callable[[Any], Leg], code: str, status: int, why: str, address: str) -> None:
        headers, body = problem(code, status, why, address)
        leg = end(None)
        leg.write(response(status, [*self.headers, *headers], body))
        self.dismiss(leg, unread=False)

    # For the fronts and links.

    def wait(self, front: Front, peer: str) -> None:
        """Count somebody whose head is not whole: it may bring a token, so an office may send many at once."""
        self.waiting.add(front, f"{self.guard.throttling.key(peer)} head", capped=False)

    def watch(self, leg: Leg) -> None:
        """Begin to read one end, where that is not done yet."""
        if isinstance(leg, SocketLeg):
            if not leg.watching:
                leg.watch(False)
        else:
            leg.hold(False)

    def dismiss(self, leg: Leg, *, unread: bool) -> None:
        """End TCP behind a last answer; what the peer still sends must not take it away."""
        if unread and isinstance(leg, SocketLeg):
            self._linger(leg.detach())
        else:
            leg.close()

    def answer(self, connection: socket.SocketType, data: bytes, *, unread: bool) -> None:
        """Write a last answer to a socket, and end TCP."""
        try:
            connection.send(data, socket.MSG_DONTWAIT)
        except OSError:
            unread = False
        if unread:
            self._linger(connection)
        else:
            self.plane.close(connection)

    def _linger(self, connection: socket.SocketType) -> None:
        self._lingering.add(Lingering(self.plane, connection))

    def mask(self) -> bytes:
        """Return a masking key that nobody can foresee (RFC 6455 section 5.3)."""
        return os.urandom(4)


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
