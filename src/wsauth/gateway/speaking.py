"""A client that speaks wsauth, or whose messages rules judge: they are looked at one by one, and ours go out between.

Of the client a message is collected only as long as it could be an `auth` message, has to wait, or rules judge it;
then it passes on as it came, frame by frame. Of the upstream only the beginning of a text is looked at, since it must
not look like one of ours. Nothing here decides about a message: the machine does.
"""

import logging
import secrets
from typing import TYPE_CHECKING, Final, Literal

from wsauth.core import frames
from wsauth.core.protocol.commands import Message
from wsauth.core.protocol.control import is_reserved, may_become_reserved
from wsauth.core.protocol.states import State
from wsauth.core.protocol.wire import CONTROL_LIMIT, HELD_LIMIT
from wsauth.errors import Refused
from wsauth.gateway.splice import Leg

if TYPE_CHECKING:
    from wsauth.gateway.link import Link

__all__ = ["Speaking"]

_log: Final = logging.getLogger("wsauth")
_BINARY: Final = 2
_UNSAID: Final = 64
"""Control messages that wait for their turn."""
_PINGS: Final = 100
"""Pings that somebody who is not authenticated gets an answer to."""
_THIN: Final = 8
"""Bytes of all frames of a message for each byte that they hold; fragments of one byte take seven."""
_THIN_FROM: Final = 8_192
"""Bytes of frames from which that is asked."""

Verdict = Literal["asked", "passes", "dropped"]


class Text(str):
    """Be a text message, with its frames as they came."""

    raw: bytes


class Binary(bytes):
    """Be a binary message, or a text that is none, with its frames as they came."""

    raw: bytes


class Speaking:
    """Look at what passes on one link.

    Args:
        link: whose.
    """

    __slots__ = (
        "_asked",
        "_buffer",
        "_down",
        "_down_size",
        "_first",
        "_held",
        "_inserts",
        "_link",
        "_payload",
        "_peeked",
        "_pings",
        "_running",
        "_size",
        "_streams",
        "_upstream_held",
        "_verdict",
        "_whole",
    )

    def __init__(self, link: "Link") -> None:
        self._link = link
        # The client's side: what is not read yet, the frame under way, the message under way.
        self._buffer = b""
        self._size = 0
        self._first = 0
        self._whole = bytearray()
        self._payload = bytearray()
        self._streams = False
        self._held = False
        self._pings = 0
        self._running = False
        # The upstream's side, and what we have to say.
        self._down = b""
        self._down_size = 0
        self._asked = b""
        self._peeked = b""
        self._verdict: Verdict = "passes"
        self._upstream_held = False
        self._inserts: list[bytes] = []

    # What the link says.

    def wait(self, early: bytes) -> None:
        """Take the client's messages from now on, the upstream not being there yet."""
        self._buffer = early
        self._link.client.course = self._from_client

    def join(self, early: bytes, rest: bytes) -> None:
        """Take what both sides have sent by now, and all that follows."""
        link = self._link
        self._buffer += early
        link.client.course, link.client.direct = self._from_client, False
        if link.up is not None:
            link.up.course = self._from_upstream
            self._down = rest
            self._read_upstream()
        if not link.dead and link.client.open:
            link.gateway.watch(link.client)
            self.go_on()

    def go_on(self) -> None:
        """Read on: the machine may take now what waited."""
        self._read_client()

    def insert(self, frame: bytes) -> None:
        """Write a control message, behind the message of the upstream that is under way."""
        self._inserts.append(frame)
        self.say()

    def say(self) -> None:
        """Write the control messages that wait, unless a message of the upstream is still under way."""
        if self._inserts and not self._link.client.told and not self.begun(self._link.up):
            self._link.client.write(b"".join(self._inserts))
            self._inserts.clear()
            self._read_client()

    def deliver(self, message: Message) -> None:
        """Pass a message of the client on, as it came."""
        if self._link.up is None:
            return
        if isinstance(message, Text | Binary):
            self._link.up.write(message.raw)
        elif isinstance(message, str):  # rules have written into it who says it
            self._link.up.write(frames.written(frames.TEXT, message.encode(), secrets.token_bytes(4)))

    def pause(self, side: Literal["client", "upstream"], paused: bool) -> None:
        """Stop or go on reading one side."""
        if side == "client":
            self._held = paused
            if paused:
                self._link.client.hold(True)
        else:
            self._upstream_held = paused
            self._read_upstream()
        if not paused:
            self._read_client()

    def begun(self, source: Leg | None) -> bool:
        """Tell whether a message of that side has begun to pass and has not ended."""
        if source is None:
            return False
        if source is self._link.client:
            return self._streams
        return self._verdict == "passes" and not source.between_messages

    def leave(self) -> None:
        """Give the legs what is not read yet, so that they can be closed."""
        client, up = self._link.client, self._link.up
        client.kept, self._buffer = self._buffer, b""
        if self._size:
            client.left = self._size
        if up is not None:
            up.kept, self._down = self._down, b""
            if self._down_size:
                up.left = self._down_size

    # The client's messages.

    def _from_client(self, data: bytes) -> None:
        self._buffer += data
        self._read_client()

    def _stops(self) -> bool:
        link = self._link
        # What cannot be said yet is not to grow without an end: whoever is answered waits for it.
        waits = len(self._inserts) > _UNSAID
        return self._held or waits or link.dead or link.closes or not link.connection.machine.taking

    def _read_client(self) -> None:
        """Take frame by frame what the machine takes now."""
        if self._running:
            return
        self._running = True
        leg, early = self._link.client, False
        while self._buffer and not self._stops():
            if leg.left:
                self._pass_on(leg)
            elif (early := self._comes_early(leg)) or not self._frame(leg):
                break
        self._running = False
        if not (self._link.dead or self._link.closes):
            waits = self._stops() and len(self._buffer) >= HELD_LIMIT
            leg.hold(self._held or early or waits or self._is_too_much(leg))

    def _comes_early(self, leg: Leg) -> bool:
        """Tell whether a message begins here that may not come yet; `go_on` follows when it may."""
        pace = self._link.pace
        begins = self._size == 0 and 0 < self._buffer[0] & 0x0F < frames.CLOSE
        if pace is None or not begins or pace.left():
            return False
        pace.wait()
        return True

    def _is_too_much(self, leg: Leg) -> bool:
        """Tell whether the message under way is too long to wait for the lease to live again."""
        stale = self._link.connection.machine.state is State.STALE
        data = self._size > 0 and leg.opcode < frames.CLOSE
        return stale and leg.left == 0 and data and self._total(leg) > HELD_LIMIT

    def _pass_on(self, leg: Leg) -> None:
        part = self._buffer[: leg.left]
        self._buffer = self._buffer[len(part) :]
        leg.left -= len(part)
        leg.other.write(part)
        if leg.between_messages:
            self._streams = False

    def _frame(self, leg: Leg) -> bool:
        """Take one frame, or begin to pass it on; false where more of it is needed first."""
        if not self._size:
            size = leg.header(self._buffer, 0)
            if size < 0:
                self._link.broken(leg)
            if size <= 0:
                return False
            self._size = size
            if leg.opcode in (frames.TEXT, _BINARY):
                self._first = leg.opcode
                if self._link.pace is not None:
                    self._link.pace.count(1)
        if leg.opcode >= frames.CLOSE:
            return len(self._buffer) >= self._size and self._control(leg)
        state = self._link.connection.machine.state
        if state is State.PENDING and self._first == _BINARY:
            self._link.connection.received(b"")
            return False
        rules = self._link.connection.machine.policy.rules
        passes = rules is None and (self._first == _BINARY or self._total(leg) > CONTROL_LIMIT)
        if self._streams or (state is State.OPEN and passes):
            self._stream(leg)
            return True
        if self._is_too_much(leg) or len(self._buffer) < self._size:
            return False
        raw = self._cut()
        self._whole += raw
        self._payload += frames.unmasked(raw[leg.head :], leg.mask)
        if leg.final:
            self._message()
        elif len(self._whole) > _THIN_FROM + _THIN * len(self._payload):
            leg.error, leg.why = 1008, "the fragments of a message hold next to nothing"
            self._link.broken(leg)
        return True

    def _total(self, leg: Leg) -> int:
        """Return the bytes of the message under way, up to the end of this frame."""
        return len(self._payload) + self._size - leg.head

    def _cut(self) -> bytes:
        raw, self._buffer = self._buffer[: self._size], self._buffer[self._size :]
        self._size = 0
        return raw

    def _stream(self, leg: Leg) -> None:
        """Let the message under way pass on as it comes: it is the application's."""
        if not self._streams:
            self._streams = True
            self._link.stirred()
            if self._whole:
                leg.other.write(bytes(self._whole))
                self._whole.clear()
                self._payload.clear()
        leg.left, self._size = self._size, 0

    def _message(self) -> None:
        """Give the machine a whole message."""
        raw, payload = bytes(self._whole), bytes(self._payload)
        self._whole.clear()
        self._payload.clear()
        message: Text | Binary
        try:
            message = Text(payload.decode()) if self._first == frames.TEXT else Binary(payload)
        except UnicodeDecodeError:
            machine = self._link.connection.machine
            if machine.state is State.PENDING or machine.policy.rules is not None:
                self._link.connection.end(Refused("request_invalid", "a text message is not UTF-8"), 1007)
                return
            message = Binary(payload)
        message.raw = raw
        self._link.connection.received(message)

    def _control(self, leg: Leg) -> bool:
        """Take a whole control frame: the upstream's where it may hear it, else ours."""
        raw = self._cut()
        link = self._link
        if leg.opcode == frames.CLOSE:
            self._buffer = b""  # what comes behind it counts nothing (RFC 6455 section 5.5.1)
            if link.connection.machine.state is State.OPEN:
                link.halted(leg, raw)
            else:
                link.left_early(leg)
            return False
        if link.connection.machine.state is State.OPEN:
            self._pings = 0
            leg.other.write(raw)
        elif leg.opcode == frames.PING:
            self._pings += 1
            if self._pings > _PINGS:
                link.connection.end(Refused("request_invalid", f"more than {_PINGS} pings came early"), 1008)
                return False
            if not self.begun(link.up):
                link.client.write(frames.written(frames.PONG, frames.unmasked(raw[leg.head :], leg.mask)))
        return True

    # The upstream's messages.

    def _from_upstream(self, data: bytes) -> None:
        self._down += data
        self._read_upstream()

    def _read_upstream(self) -> None:
        """Pass on what may pass, and say between two messages what is to be said."""
        link, leg = self._link, self._link.up
        while leg is not None and not (link.dead or link.closes):
            if leg.left:
                if not self._down:
                    return
                self._pass_down(leg)
                continue
            if not self.begun(leg):
                self.say()
                if self._upstream_held:
                    leg.hold(True)
                    return
                leg.hold(False)
            if not self._down or not self._frame_down(leg):
                return

    def _pass_down(self, leg: Leg) -> None:
        part = self._down[: leg.left]
        self._down = self._down[len(part) :]
        leg.left -= len(part)
        if self._verdict == "passes":
            leg.other.write(part)

    def _frame_down(self, leg: Leg) -> bool:
        """Begin one frame; false where more of it is needed first."""
        if not self._down_size:
            size = leg.header(self._down, 0)
            if size < 0:
                self._link.broken(leg)
            if size <= 0:
                return False
            self._down_size = size
            if leg.opcode in (frames.TEXT, _BINARY):
                asked = leg.opcode == frames.TEXT and self._link.connection.machine.speaks
                self._verdict = "asked" if asked else "passes"
                if self._link.up is not None and leg.watched:
                    self._link.stirred()
        if leg.opcode >= frames.CLOSE:
            return self._control_down(leg)
        if self._verdict == "asked" and not self._judge(leg):
            return False
        if self._down_size:
            leg.left, self._down_size = self._down_size, 0
        return True

    def _control_down(self, leg: Leg) -> bool:
        if len(self._down) < self._down_size:
            return False
        raw, self._down = self._down[: self._down_size], self._down[self._down_size :]
        self._down_size = 0
        if leg.opcode == frames.CLOSE:
            self._down = b""  # the same
            self._link.halted(leg, raw)
            return False
        leg.other.write(raw)
        return True

    def _judge(self, leg: Leg) -> bool:
        """Find out from a text's beginning whether it looks like one of ours; false where too little of it is here."""
        payload = self._down[leg.head : self._down_size]
        whole = len(self._down) >= self._down_size
        beginning = (self._peeked + payload[:CONTROL_LIMIT]).decode("latin-1")
        if is_reserved(beginning):
            _log.warning("a message of the upstream at %s looked like one of wsauth's", self._link.connection.path)
            self._verdict = "dropped"
        elif len(beginning) < CONTROL_LIMIT and may_become_reserved(beginning) and not (whole and leg.final):
            if not whole:
                return False
            self._asked += self._down[: self._down_size]
            self._peeked += payload
            self._down, self._down_size = self._down[self._down_size :], 0
            return True
        else:
            self._verdict = "passes"
            if self._asked:
                leg.other.write(self._asked)
        self._asked = self._peeked = b""
        return True
