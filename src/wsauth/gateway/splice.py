"""Follow the frames of two peers and pass them on: the hot path, plain Python or compiled by mypyc (`make compile`).

Bytes pass as they came. Of each frame only the header is looked at: an incomplete one is held back, as is an incomplete
control frame, so that what was passed on ends between two frames exactly when nothing is left to skip. Everything that
is not the flow of checked frames from one side to the other (waiting, closing, a client that speaks wsauth) is the
link's.
"""

from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from socket import MSG_DONTWAIT
from time import monotonic
from typing import Any, Final

__all__ = ["Follower", "Leg", "SocketLeg", "TransportLeg"]

READ_SIZE: Final = 65_536
"""Bytes of one read, and so of what may wait in one direction."""
EMPTY_FRAGMENTS: Final = 1_000
"""Fragments without a byte in one message."""
PINGS: Final = 1_000
"""Pings and pongs of a client in a second (ATTACKS IB-30): they cost what messages cost, and nobody needs so many."""

_EASY: Final = b"\x81\x82"
"""First bytes of a frame that is a whole text or binary message."""
_EASY_DEFLATED: Final = b"\x81\x82\xc1\xc2"
_MASKED_16: Final = 0xFE
_PLAIN_16: Final = 0x7E
_CLOSE: Final = 8
_SERVER_HEAD: Final = 2
_CLIENT_HEAD: Final = 6


def _steps(masked: bool, limit: int) -> tuple[int, ...]:
    """Return, for each second byte of a frame, the bytes of the whole small frame; 0 where it is to be looked at."""
    head, bit = (_CLIENT_HEAD, 0x80) if masked else (_SERVER_HEAD, 0)
    return tuple(
        head + (byte & 0x7F) if byte & 0x80 == bit and byte & 0x7F <= min(limit, 125) else 0 for byte in range(256)
    )


_TABLES: Final[dict[tuple[bool, int], tuple[int, ...]]] = {}


def steps(masked: bool, limit: int) -> tuple[int, ...]:
    """Return the table of `_steps`, made once for each limit."""
    key = (masked, min(limit, 125))
    table = _TABLES.get(key)
    if table is None:
        table = _TABLES[key] = _steps(masked, limit)
    return table


class Follower:
    """Know where the frames of one direction begin and end, and refuse what breaks RFC 6455.

    Attributes:
        left: bytes until the next header.
        fragmented: a message has begun and its last frame's header was not yet there.
        opcode: of the frame whose header was read last.
        final: its FIN bit.
        head: bytes of its header.
        control: bytes of all control frames so far.
        pings: control frames since `since`, which is on the monotonic clock.
        mask: its masking key, as an offset-free copy; empty where there is none.
        closed: the peer's close frame was there: nothing after it counts.
        close_payload: what that frame held, still masked where `mask` says so.
        error: close code of the rule that was broken; 0 for none.
        why: that rule, for the log.
    """

    __slots__ = (
        "close_payload",
        "closed",
        "control",
        "easy",
        "empty",
        "error",
        "final",
        "fragmented",
        "head",
        "held",
        "left",
        "limit",
        "mask",
        "masked",
        "opcode",
        "pings",
        "rsv1",
        "since",
        "step",
        "total",
        "why",
    )

    def __init__(self, masked: bool, limit: int, deflate: bool) -> None:
        self.masked = masked
        self.left = 0
        self.held = b""
        self.fragmented = False
        self.total = 0
        self.empty = 0
        self.opcode = 0
        self.final = True
        self.head = 0
        self.control = 0
        self.pings = 0
        self.since = 0.0
        self.mask = b""
        self.closed = False
        self.close_payload = b""
        self.error = 0
        self.why = ""
        self.allow(limit, deflate)

    def allow(self, limit: int, deflate: bool) -> None:
        """Set what may pass from now on: bytes of a message, and whether RSV1 has a meaning (RFC 7692 section 6)."""
        self.limit = limit
        self.rsv1 = deflate
        self.easy = _EASY_DEFLATED if deflate else _EASY
        self.step = steps(self.masked, limit)

    @property
    def between_messages(self) -> bool:
        """Tell whether what was passed on ends where a message does."""
        return self.left == 0 and not self.fragmented

    def follow(self, data: bytes) -> bytes:
        """Return what may pass on of the next bytes; after a broken rule or a close frame, what came before it."""
        if self.held:
            data = self.held + data
            self.held = b""
        size = len(data)
        at = self.left
        if at >= size:
            self.left = at - size
            return data
        easy, step, masked = self.easy, self.step, self.masked
        sixteen = _MASKED_16 if masked else _PLAIN_16
        if at == 0 and size > _CLIENT_HEAD and not self.fragmented and data[0] in easy:
            # Equal small frames, as one peer sends many of: their first two bytes stand at a stride.
            stride = step[data[1]]
            if stride and size % stride == 0:
                count = size // stride
                if data[::stride].count(data[0]) == count == data[1::stride].count(data[1]):
                    return data
        last = size - 1
        while at < size:
            if at < last and not self.fragmented and data[at] in easy:
                second = data[at + 1]
                stride = step[second]
                if stride:
                    at += stride
                    continue
                if second == sixteen and at + 3 < size:
                    length = data[at + 2] << 8 | data[at + 3]
                    if 125 < length <= self.limit:
                        at += length + (8 if masked else 4)
                        continue
            frame = self.header(data, at)
            if frame <= 0:
                self.held = data[at:] if frame == 0 else b""
                self.left = 0
                return data[:at]
            at += frame
            if self.closed:
                self.left = 0
                return data[:at]
        self.left = at - size
        return data

    def follow_until(self, data: bytes, frame_ends: bool) -> tuple[bytes, bytes, bool]:
        """Pass on only to the next end of a message, or of a frame.

        Returns:
            What may pass on, what came behind it, and whether the end was reached.
        """
        if self.held:
            data = self.held + data
            self.held = b""
        size = len(data)
        at = self.left
        while at <= size:
            if frame_ends or not self.fragmented:
                self.left = 0
                return data[:at], data[at:], True
            frame = self.header(data, at) if at < size else 0
            if frame <= 0:
                self.held = data[at:] if frame == 0 else b""
                self.left = 0
                return data[:at], b"", False
            at += frame
            if self.closed:
                self.left = 0
                return data[:at], b"", True
        self.left = at - size
        return data, b"", False

    def follow_some(self, data: bytes, most: int) -> tuple[bytes, bytes, int]:
        """Pass on only until one more message would begin than these.

        Returns:
            What may pass on, what waits behind it, and how many messages began.
        """
        if self.held:
            data = self.held + data
            self.held = b""
        size, at, begun = len(data), self.left, 0
        while at < size:
            begins = 0 < data[at] & 0x0F < _CLOSE
            if begins and begun == most:
                self.left = 0
                return data[:at], data[at:], begun
            frame = self.header(data, at)
            if frame <= 0:
                self.held = data[at:] if frame == 0 else b""
                self.left = 0
                return data[:at], b"", begun
            at += frame
            if begins:
                begun += 1
            if self.closed:
                self.left = 0
                return data[:at], b"", begun
        self.left = at - size
        return data, b"", begun

    def header(self, data: bytes, at: int) -> int:
        """Read the header at this place and take note of it.

        Returns:
            Bytes of the whole frame; 0 where the header, or a control frame, is not whole yet; -1 where a rule is
            broken.
        """
        size = len(data) - at
        if size < _SERVER_HEAD:
            return 0
        first, second = data[at], data[at + 1]
        opcode, final, length = first & 0x0F, first >= 0x80, second & 0x7F
        why = self._broken(first, opcode, final, second)
        if why:
            return self._break(1002, why)
        head = _SERVER_HEAD
        if length >= 126:
            head = 4 if length == 126 else 10
            if size < head:
                return 0
            least = 126 if length == 126 else 65_536
            length = int.from_bytes(data[at + 2 : at + head], "big")
            if not least <= length < 1 << 63:
                return self._break(1002, "a length is not written in the fewest bytes (RFC 6455 section 5.2)")
        if self.masked:
            head += 4
            if size < head:
                return 0
        if opcode >= _CLOSE and size < head + length:
            return 0
        if (self._count(opcode, length, final) if opcode < _CLOSE else self._count_control(head + length)) < 0:
            return -1
        self.opcode, self.final, self.head = opcode, final, head
        self.mask = data[at + head - 4 : at + head] if self.masked else b""
        if opcode == _CLOSE:
            self.closed = True
            self.close_payload = data[at + head : at + head + length]
        return head + length

    def _broken(self, first: int, opcode: int, final: bool, second: int) -> str:
        """Return which rule of RFC 6455 section 5 a header's first two bytes break, or empty."""
        if (second >= 0x80) is not self.masked:
            return "a client's frame is not masked (section 5.1)" if self.masked else "a server's frame is masked (5.1)"
        if first & 0x70 and not (self.rsv1 and first & 0x70 == 0x40 and opcode in (1, 2)):
            return "a reserved bit is set without an extension (section 5.2)"
        if 2 < opcode < _CLOSE or opcode > 0xA:
            return "an opcode is reserved (section 5.2)"
        if opcode >= _CLOSE:
            return "a control frame is fragmented or long (section 5.5)" if not final or second & 0x7F > 125 else ""
        if opcode and self.fragmented:
            return "a message begins inside another one (section 5.4)"
        if not opcode and not self.fragmented:
            return "a continuation continues nothing (section 5.4)"
        return ""

    def _count(self, opcode: int, length: int, final: bool) -> int:
        """Count a frame of a message."""
        total = length if opcode else self.total + length
        if total > self.limit:
            return self._break(1009, f"a message is over {self.limit} bytes")
        self.empty = 0 if opcode or length else self.empty + 1
        if self.empty > EMPTY_FRAGMENTS:
            return self._break(1008, f"a message has more than {EMPTY_FRAGMENTS} empty fragments in a row")
        self.total = total
        self.fragmented = not final
        return 0

    def _count_control(self, size: int) -> int:
        """Count a control frame; the clock is looked at once in a thousand."""
        self.control += size
        self.pings += 1
        if self.pings > PINGS and self.masked:
            before, self.since = self.since, monotonic()
            self.pings = 1
            if self.since - before < 1.0:
                return self._break(1008, f"more than {PINGS} pings and pongs came in a second")
        return 0

    def _break(self, code: int, why: str) -> int:
        self.error = code
        self.why = why
        return -1


class Leg(Follower):
    """Be one end and the direction that begins at it: what arrives here is checked and written to the other end.

    Attributes:
        other: the other end.
        direct: what arrives flows on by itself; else the link takes it.
        course: who takes it then.
        kept: bytes that were read and wait for their turn.
        watched: the link wants to know that messages pass.
        told: a close frame was written to the peer.
        open: the end is not yet gone.
    """

    __slots__ = ("_blocked", "_held_back", "_link", "course", "direct", "kept", "open", "other", "told", "watched")

    def __init__(self, link: Any, masked: bool, limit: int) -> None:
        super().__init__(masked, limit, False)
        self._link = link
        self.other: Any = None
        self.course: Any = None
        self.direct = False
        self.kept = b""
        self.told = False
        self.watched = False
        self.open = True
        self._blocked = False
        self._held_back = False

    def arrived(self, data: bytes) -> None:
        """Take what came from the peer."""
        if not self.direct:
            self._link.taken(self, data)
            return
        size = len(data)
        if not (
            self.left == 0
            and size > 1
            and not self.fragmented
            and not self.held
            and data[0] in self.easy
            and self.step[data[1]] == size
        ):
            before = self.control
            data = self.follow(data)
            if self.error or self.closed:
                self._link.halted(self, data)
                return
            if self.watched and len(data) > self.control - before:
                self._link.stirred()
            if data:
                self.other.write(data)
            return
        if self.watched:
            self._link.stirred()
        self.other.write(data)

    def hold(self, held: bool) -> None:
        """Stop or go on reading, as the link says."""
        if held is not self._held_back:
            self._held_back = held
            self._reading()

    def block(self, blocked: bool) -> None:
        """Stop or go on reading, as the other end has no room or has it again."""
        if blocked is not self._blocked:
            self._blocked = blocked
            self._reading()

    def write(self, data: bytes) -> None:
        """Write to the peer; what finds no room waits, and the other end stops reading."""
        raise NotImplementedError

    def failed(self) -> None:
        """Take it that a handler of ours failed."""
        if self._link is not None:
            self._link.failed()
        else:
            self.abort()

    def let_go(self) -> None:
        """Know nobody any more."""
        self._link = self.other = self.course = None

    @property
    def socket(self) -> Any:
        """Return what the kernel can be asked about."""
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        """Return how many bytes wait to be written."""
        raise NotImplementedError

    @property
    def loses(self) -> bool:
        """Tell whether `close` would lose some of what waits."""
        raise NotImplementedError

    def finish(self) -> None:
        """Say that nothing more is written."""
        raise NotImplementedError

    def close(self) -> None:
        """End TCP in order."""
        raise NotImplementedError

    def abort(self) -> None:
        """Cut TCP: what waits is dropped and the peer gets RST."""
        raise NotImplementedError

    def _reading(self) -> None:
        raise NotImplementedError


class SocketLeg(Leg):
    """Be an end that is a socket in the plane's epoll."""

    __slots__ = ("_mask", "_out", "_plane", "_socket", "fd")

    def __init__(self, link: Any, plane: Any, socket: Any, masked: bool, limit: int) -> None:
        super().__init__(link, masked, limit)
        self._plane = plane
        self._socket = socket
        self.fd: int = socket.fileno()
        self._mask = -1
        self._out = b""

    @property
    def socket(self) -> Any:
        """Return what the kernel can be asked about."""
        return self._socket

    @property
    def watching(self) -> bool:
        """Tell whether the plane has the socket."""
        return self._mask >= 0

    def detach(self) -> Any:
        """Return the socket, which is somebody else's from now on."""
        self.open = False
        if self._mask >= 0:
            self._plane.forget(self.fd)
        return self._socket

    def watch(self, registered: bool) -> None:
        """Begin to read; `registered`: the plane has the socket already, with another handler."""
        self._mask = 0 if self._blocked or self._held_back else EPOLLIN
        if self._out:
            self._mask |= EPOLLOUT
        if registered:
            self._plane.replace(self.fd, self, self._mask)
        else:
            self._plane.add(self.fd, self, self._mask)

    def ready(self, events: int) -> None:
        """Do what epoll says can be done."""
        if events & EPOLLOUT and self._out:
            self._flush()
        if not events & (EPOLLIN | EPOLLHUP | EPOLLERR) or not self.open:
            return
        if self._blocked or self._held_back:
            if events & (EPOLLHUP | EPOLLERR) and self._plane.is_gone(self.fd):
                self._link.lost(self)
            return
        try:
            data = self._socket.recv(READ_SIZE, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._link.lost(self)
            return
        if data:
            self.arrived(data)
        else:
            self._link.ended(self)

    def write(self, data: bytes) -> None:
        if self._out:
            self._out += data
            return
        try:
            sent = self._socket.send(data, MSG_DONTWAIT)
        except OSError:
            if not self.open:
                return
            # No room, or an end: epoll tells which, so that nobody is called back in the middle of something.
            sent = 0
        if sent < len(data):
            self._out = data[sent:]
            if self.other is not None:
                self.other.block(True)
            self._reading()

    @property
    def waiting(self) -> int:
        return len(self._out)

    @property
    def loses(self) -> bool:
        return bool(self._out)

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._out, MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._link.lost(self)
            return
        self._out = self._out[sent:]
        if not self._out:
            self._reading()
            if self.other is not None:
                self.other.block(False)
            self._link.flushed(self)

    def _reading(self) -> None:
        mask = 0 if self._blocked or self._held_back else EPOLLIN
        if self._out:
            mask |= EPOLLOUT
        if mask != self._mask and self._mask >= 0 and self.open:
            self._mask = mask
            self._plane.modify(self.fd, mask)

    def finish(self) -> None:
        if self.open:
            self._plane.shut_down(self._socket)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._out = b""
            self._plane.close(self._socket)

    def abort(self) -> None:
        if self.open:
            self.open = False
            self._out = b""
            self._plane.reset(self._socket)


class TransportLeg(Leg):
    """Be an end that is a transport of the event loop: TLS. It is its own protocol."""

    __slots__ = ("_full", "_paused", "_transport")

    def __init__(self, link: Any, transport: Any, masked: bool, limit: int) -> None:
        super().__init__(link, masked, limit)
        self._transport = transport
        self._paused = False
        self._full = False
        transport.set_write_buffer_limits(READ_SIZE)

    @property
    def socket(self) -> Any:
        """Return what the kernel can be asked about."""
        return self._transport.get_extra_info("socket")

    # What the transport says.

    def connection_made(self, transport: Any) -> None:
        """Be made already."""

    def data_received(self, data: Any) -> None:
        """Take what came, whatever kind of bytes it is."""
        if self.open:
            self.arrived(bytes(data))

    def eof_received(self) -> bool:
        """Take it that the peer writes no more; TLS has no half-closed state worth keeping."""
        if self.open:
            self._link.ended(self)
        return False

    def connection_lost(self, exc: Any) -> None:
        """Take it that the transport is gone."""
        if self.open:
            self._link.lost(self)

    def pause_writing(self) -> None:
        """Hold the other end back."""
        self._full = True
        if self.other is not None:
            self.other.block(True)

    def resume_writing(self) -> None:
        """Let the other end go on."""
        self._full = False
        if self.other is not None:
            self.other.block(False)
        if self._link is not None:
            self._link.flushed(self)

    # What the link says.

    def write(self, data: bytes) -> None:
        if self.open:
            self._transport.write(data)

    @property
    def waiting(self) -> int:
        # Of TLS the transport does not count what has been encrypted.
        size: int = self._transport.get_write_buffer_size()
        return size or int(self._full)

    @property
    def loses(self) -> bool:
        return False

    def _reading(self) -> None:
        paused = self._blocked or self._held_back
        if paused is not self._paused and self.open:
            self._paused = paused
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        if self.open:
            self.open = False
            self._transport.close()

    def abort(self) -> None:
        if self.open:
            self.open = False
            self._transport.abort()
