"""Reaching an upstream: address after address, until one takes the handshake."""

import asyncio
import logging
import os
import socket
from select import EPOLLOUT
from typing import TYPE_CHECKING, Any, Final

from wsauth.errors import Refused
from wsauth.gateway.connecting import connecting, watch_for_silence
from wsauth.gateway.splice import SocketLeg, TransportLeg
from wsauth.gateway.upstreams import Address, Upstream

if TYPE_CHECKING:
    from wsauth.gateway.link import Link

__all__ = ["Dial"]

_log: Final = logging.getLogger("wsauth")
_ANSWER_LIMIT: Final = 1 << 62
"""Bytes of a message of the upstream: there is no limit."""


class Dial:
    """Dial for one link.

    Args:
        link: is told by `dialled` or `unreachable`.
        upstream: whose addresses are tried.

    Attributes:
        url: of the address that is, or was, tried.
    """

    __slots__ = ("_address", "_candidates", "_link", "_socket", "_task", "_upstream", "url")

    def __init__(self, link: "Link", upstream: Upstream) -> None:
        self._link = link
        self._upstream = upstream
        self._candidates = iter(upstream.candidates())
        self._address: Address | None = None
        self._socket: socket.SocketType | None = None
        self._task: asyncio.Task[Any] | None = None
        self.url = ""

    def next(self, why: str = "it has no address now that may be tried") -> None:
        """Try the next address."""
        for address in self._candidates:
            self._address, self.url = address, address.url
            if address.url.startswith("wss:"):
                reaching = _connected(address, self._upstream.tls, self._upstream.timeout)
                self._task = asyncio.get_running_loop().create_task(reaching)
                self._task.add_done_callback(self._secured)
                return
            try:
                self._socket = connecting(address.place)
            except OSError as error:
                why = error.strerror or str(error)
                self._upstream.failed(address, stuck=False, why=why)
                continue
            if self._send(self._socket, address, registered=False):
                return
            why = "the connection failed"
        self._link.unreachable(f"the upstream {self.url or self._upstream.url} was not reached: {why}")

    def stop(self) -> None:
        """Give up, where nothing was reached yet."""
        self._upstream.silent.discard(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._socket is not None:
            self._link.gateway.plane.close(self._socket)
            self._socket = None

    def silent(self) -> None:
        """Take it that the address has not answered in time."""
        self._failed(stuck=True, why=f"no answer within {self._upstream.timeout:g} s")

    def unanswered(self) -> None:
        """Take it that the address took the handshake and did not answer: others are tried first for a while."""
        if self._address is not None:
            self._upstream.failed(self._address, stuck=False, why="the handshake was not answered")

    def _send(self, made: socket.SocketType, address: Address, *, registered: bool) -> bool:
        """Send the handshake as soon as the socket takes it; false where the connection failed."""
        try:
            greeting = self._link.greeting(address.url)
        except Refused as error:
            self.stop()
            self._link.connection.end(error)
            return True
        plane = self._link.gateway.plane
        try:
            sent = made.send(greeting)
        except BlockingIOError:
            if not registered:
                plane.add(made.fileno(), self, EPOLLOUT)
                self._upstream.silent.add(self)
            return True
        except OSError as error:
            self._upstream.silent.discard(self)
            self._upstream.failed(address, stuck=False, why=error.strerror or str(error))
            self._socket = None
            plane.close(made)
            return False
        self._upstream.silent.discard(self)
        self._upstream.works(address)
        self._socket = None
        leg = SocketLeg(self._link, plane, made, False, _ANSWER_LIMIT)
        self._link.dialled(leg)
        leg.watch(registered)
        if sent < len(greeting):
            leg.write(greeting[sent:])
        return True

    def ready(self, _: int) -> None:
        """Go on where the kernel has connected, or has not."""
        made, address = self._socket, self._address
        if made is None or address is None:
            return
        number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._failed(stuck=False, why=os.strerror(number))
        elif not self._send(made, address, registered=True):
            self.next("the connection failed")

    def failed(self) -> None:
        """Take it that something went wrong here that nobody foresaw."""
        self._link.failed()

    def _failed(self, *, stuck: bool, why: str) -> None:
        address = self._address
        self.stop()
        if address is not None:
            self._upstream.failed(address, stuck=stuck, why=why)
        self.next(why)

    def _secured(self, task: "asyncio.Task[Any]") -> None:
        """Go on where TLS stands, or does not."""
        address, wanted = self._address, task is self._task
        self._task = None
        made: Any = None if task.cancelled() else task.result()
        reached = made is not None and not isinstance(made, str)
        if not wanted or address is None:
            if reached:
                made.abort()
        elif reached:
            self._upstream.works(address)
            self._greet(made, address)
        else:
            self._failed(stuck=made is None, why=made or f"no answer within {self._upstream.timeout:g} s")

    def _greet(self, transport: Any, address: Address) -> None:
        try:
            greeting = self._link.greeting(address.url)
        except Refused as refused:
            transport.abort()
            self._link.connection.end(refused)
            return
        except Exception:  # noqa: BLE001  nobody would hear of it, and the client would wait for ever
            _log.exception("a connection failed")
            transport.abort()
            self._link.failed()
            return
        watch_for_silence(transport.get_extra_info("socket"))
        leg = TransportLeg(self._link, transport, False, _ANSWER_LIMIT)
        transport.set_protocol(leg)
        self._link.dialled(leg)
        leg.write(greeting)


async def _connected(address: Address, tls: Any, within: float) -> Any:
    """Connect with TLS, by the loop's own means; return a transport, why there is none, or `None` for silence.

    It knows no link: an error of the loop's is kept by its own frames, and would keep what they hold.
    """
    try:
        async with asyncio.timeout(within):
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, *address.place[1][:2], ssl=tls, server_hostname=address.host
            )
            return transport
    except TimeoutError:
        return None
    except OSError as error:
        return getattr(error, "verify_message", "") or error.strerror or type(error).__name__
    except Exception as error:  # noqa: BLE001  nobody would hear of it, and the client would wait for ever
        _log.exception("a connection failed")
        return type(error).__name__
