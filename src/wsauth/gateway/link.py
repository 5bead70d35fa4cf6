"""One WebSocket through the gateway: the second host of the machine. It carries, and decides nothing.

A link begins with the client's head and asks the machine. Then it dials, sends the handshake on, reads the answer, and
joins the two ends (`splice`). A client that speaks wsauth has its messages looked at in between (`speaking`). The end
of it all is `closing`'s.
"""

import asyncio
import logging
import os
from base64 import b64encode
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from wsauth.core import frames
from wsauth.core.answer import Answer, BadAnswer, accept_of, read_answer
from wsauth.core.extensions import NONE, Offers, read_offers
from wsauth.core.forwarding import head, may_compress
from wsauth.core.peers import Client
from wsauth.core.protocol.commands import Message, Verify
from wsauth.core.protocol.machine import Machine
from wsauth.core.protocol.states import State
from wsauth.core.refusals import Refusal, denial
from wsauth.core.request import END, Request
from wsauth.errors import Refused
from wsauth.gateway.closing import Closing
from wsauth.gateway.dialling import Dial
from wsauth.gateway.responses import ending, response, switching
from wsauth.gateway.speaking import Speaking
from wsauth.gateway.splice import Leg
from wsauth.services.connections.connection import Connection
from wsauth.services.connections.kernel import bytes_received
from wsauth.services.connections.pacing import Pace

if TYPE_CHECKING:
    from wsauth.gateway.gateway import Gateway
    from wsauth.gateway.upstreams import Upstream

__all__ = ["Link"]

_log: Final = logging.getLogger("wsauth")
_HELD_AFTER: Final = 0.5
"""Seconds that a message under way may take to its end after the lease has ended."""
_EARLY: Final = 65_536
"""Bytes of a client that wait for the upstream; beyond, nothing more is read."""
_ANSWER: Final = 16_384
"""Bytes of the head of an upstream's answer."""


class Link:
    """Carry one connection between a client and an upstream.

    Args:
        gateway: what all links share.
        upstream: where the route leads.
        request: the client's head.
        who: the client.
        secure: nobody between the client and us can listen.

    Attributes:
        connection: the machine's runner; set by whoever makes the link.
        client: the client's end; set by whoever makes the link.
        up: the upstream's end, once there is one.
        pace: says when the client's messages may pass; `None` where they always may.
    """

    __slots__ = (
        "_answer",
        "_chosen",
        "_closing",
        "_dial",
        "_early",
        "_extensions",
        "_farewell",
        "_key",
        "_key_up",
        "_late",
        "_offered",
        "_request",
        "_rest",
        "_secure",
        "_who",
        "client",
        "connection",
        "dead",
        "gateway",
        "pace",
        "speaking",
        "spliced",
        "up",
        "upstream",
    )

    connection: Connection
    client: Leg

    def __init__(self, gateway: "Gateway", upstream: "Upstream", request: Request, who: Client, secure: bool) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.up: Leg | None = None
        self.spliced = False
        self.dead = False
        self.speaking: Speaking | None = None
        self.pace: Pace | None = None
        self._request: Request | None = request
        self._who = who
        self._secure = secure
        self._key = request.key
        self._key_up = self._key
        self._offered: list[str] = []
        self._farewell = (1005, "")
        self._extensions: Offers = NONE
        self._early = b""
        self._rest = b""
        self._chosen = ""
        self._answer: Answer | None = None
        self._dial: Dial | None = None
        self._closing: Closing | None = None
        self._late: asyncio.TimerHandle | None = None

    def begin(self, early: bytes) -> None:
        """Ask the machine about the handshake; `early` came behind it."""
        self._early = early
        handshake = self.connection.machine.handshake
        if self.machine.policy.rules is None and may_compress(self.upstream.forwarding, handshake):
            self._extensions = read_offers(handshake.headers)
        self.connection.start()
        if self.speaking is not None and not self.dead:
            self.speaking.go_on()

    @property
    def machine(self) -> Machine:
        """Return the machine, which is the connection's."""
        return self.connection.machine

    @property
    def closes(self) -> bool:
        """Tell whether both sides are being closed."""
        return self._closing is not None

    # What the machine orders.

    def accept(self, subprotocol: str) -> None:
        """Answer the handshake with 101."""
        self.client.write(switching(accept_of(self._key), subprotocol, self._answer, self.gateway.headers))
        self._chosen = subprotocol if subprotocol in self.machine.handshake.offered else ""
        if self.machine.state is State.PENDING:
            self._speak()

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP refusal, and end TCP."""
        headers, body = ending(refusal)
        client, unread = self.client, bool(self._early)
        client.write(response(refusal.http_status, [*self.gateway.headers, *headers], body))
        self.connection.ended("cut" if client.waiting else "closed")
        self.over(1006, "", keep_client=True)
        self.gateway.dismiss(client, unread=unread)

    def verify(self, question: Verify) -> None:
        """Have somebody's credentials verified, and go on meanwhile."""
        task = asyncio.get_running_loop().create_task(self._verify(question))
        self.gateway.tasks.add(task)
        task.add_done_callback(self.gateway.tasks.discard)

    async def _verify(self, question: Verify) -> None:
        outcome = await self.connection.judge(question)
        self.connection.answer(question, outcome)
        if self.speaking is not None and not self.dead:
            self.speaking.go_on()

    def connect(self) -> None:
        """Open the upstream."""
        self.pace = self.connection.pace(self._go_on)
        if self.machine.accepted:
            # The client has our 101 already: its offers and its key are used up.
            self._offered = [self._chosen] if self._chosen else []
            self._key_up = b64encode(os.urandom(16))
        else:
            self._offered = self.machine.handshake.offered
        self._dial = Dial(self, self.upstream)
        self._dial.next()

    def send_control(self, text: str) -> None:
        """Send a control message to the client, between two messages."""
        frame = frames.written(frames.TEXT, text.encode())
        if self.speaking is not None and self.spliced:
            self.speaking.insert(frame)
        elif self._closing is None:
            self.client.write(frame)

    def deliver(self, message: Message) -> None:
        """Pass a client's message on as it came."""
        if self.speaking is not None:
            self.speaking.deliver(message)

    def pause(self, side: Literal["client", "upstream"], paused: bool) -> None:
        """Hold one side back at the end of its message, or let it go on."""
        up, speaking = self.up, self.speaking
        leg = self.client if side == "client" else up
        if not paused:
            self._forget_hold()
        if speaking is not None:
            if not paused and up is not None:
                up.hold(False)
            speaking.pause(side, paused)
            if paused and (speaking.begun(up) or speaking.begun(self.client)):
                self._hold_later()
        elif leg is not None and not leg.closed and not leg.error:
            if paused:
                self._hold(leg)
            else:
                self._release(leg)

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Send close frames to both sides, between messages where one ends in time."""
        self._stop_dialling()
        self._forget_hold()
        self._forget_pace()
        if self._closing is None and not self.dead:
            if self.speaking is not None:
                self.speaking.leave()
            elif not self.spliced:
                self.client.kept, self._early = self._early, b""
            self._closing = Closing(self, code, reason, at_once=at_once)
            self._closing.begin()

    def bytes_received(self) -> int | None:
        """Return how many bytes the client has sent."""
        return bytes_received(self.client.socket)

    def abort(self) -> None:
        """Cut both sides."""
        self.connection.ended("cut")
        self.client.abort()
        if self.up is not None:
            self.up.abort()
        self.over(1006, "")

    # Dialling.

    def greeting(self, audience: str) -> bytes:
        """Return the handshake for the upstream.

        Raises:
            Refused: no assertion can be signed now.
        """
        lease, request, upstream = self.machine.introduce(), self._request, self.upstream
        assert request is not None  # noqa: S101  it is kept until the upstream has answered
        handshake = self.machine.handshake
        made = head(
            upstream.forwarding,
            handshake,
            path=request.path,
            key=self._key_up,
            identity=lease.identity,
            permissions=lease.permissions,
            client=self._who,
            scheme="https" if self._secure else "http",
            host=handshake.host,
            assertion=self.gateway.assertion(self.connection, audience) if upstream.assertion else None,
            offered=self._offered,
            extensions=self._extensions,
        )
        if upstream.local:
            made = made[:-2] + b"X-Wsauth-Connection: %b\r\n\r\n" % self.connection.id.encode()
        return made

    def dialled(self, up: Leg) -> None:
        """Take the upstream's end, to which the handshake has been sent."""
        self.up = up
        up.course = self._answered
        up.other, self.client.other = self.client, up
        self.gateway.answering.add(self)

    def unreachable(self, why: str) -> None:
        """Take it that no address of the upstream could be reached."""
        self._fail(Refused("upstream_unavailable", why, mend="upstream, upstream_timeout", retry_after=1))

    def late(self) -> None:
        """Take it that the upstream has not answered in time."""
        if not self.spliced and not self.dead:
            if self._dial is not None:
                self._dial.unanswered()
            self._fail(Refused("upstream_unavailable", f"{self._name} did not answer in time", retry_after=1))

    @property
    def _name(self) -> str:
        return f"the upstream {self._dial.url}" if self._dial is not None else "the upstream"

    def _answered(self, data: bytes) -> None:
        self._rest += data
        end = self._rest.find(END)
        if end < 0 or end > _ANSWER:
            if len(self._rest) > _ANSWER:
                self._fail(
                    Refused(
                        "upstream_unavailable", f"{self._name} answered with more than {_ANSWER} bytes", retry_after=1
                    )
                )
            return
        whole, self._rest = self._rest[: end + len(END)], self._rest[end + len(END) :]
        try:
            self._answer = read_answer(whole, accept_of(self._key_up), self._offered, self._extensions)
        except BadAnswer as error:
            self._denied(error)
            return
        self.gateway.answering.discard(self)
        if self.machine.state is State.CONNECTING:
            self._join(self._answer)

    def _denied(self, error: BadAnswer) -> None:
        if error.status in (401, 403):
            refused, close = denial(error.status)
            self._fail(Refused(refused.code, f"{self._name} answered {error.status}"), close)
        else:
            self._fail(Refused("upstream_unavailable", f"{self._name}: {error.reason}", retry_after=1))

    def _fail(self, error: Refused, close: int | None = None) -> None:
        self._stop_dialling()
        self.connection.end(error, close)

    def _stop_dialling(self) -> None:
        self.gateway.answering.discard(self)
        if self._dial is not None:
            self._dial.stop()
        if self.up is not None and not self.spliced:
            self.up.abort()
            self.up = None

    # Joining.

    def _join(self, answer: Answer) -> None:
        client, up, handshake = self.client, self.up, self.machine.handshake
        assert up is not None  # noqa: S101  it has answered
        early, rest = self._early, self._rest
        self._early = self._rest = b""
        self.spliced = True
        client.allow(self.machine.policy.max_message, answer.deflate)
        up.allow(1 << 62, answer.deflate)
        if (self.machine.speaks or self.machine.policy.rules) and self.speaking is None:
            self.speaking = Speaking(self)
        self.connection.connected(answer.subprotocol)
        # What the handshake held is of no use any more, and there may be many of us.
        self._request, self._dial, self._answer = None, None, None
        handshake.headers, handshake.query = _NO_HEADERS, b""
        if not handshake.offered:
            handshake.offered = self._offered = _NO_OFFERS
        self._who, self._key, self._key_up = _GONE, b"", b""
        if self.dead or self._closing is not None:
            return
        client.watched = up.watched = self.machine.policy.idle_timeout < _FOREVER
        if self.speaking is not None:
            self.speaking.join(early, rest)
            return
        up.direct = True
        self._flow(client)
        self.gateway.watch(client)
        if rest:
            up.arrived(rest)
        if early and not self.dead:
            client.arrived(early)

    def _speak(self) -> None:
        """Look at the client's messages from now on: it authenticates by one."""
        if self.speaking is None and self._closing is None:
            self.speaking = Speaking(self)
            self.client.allow(self.machine.policy.max_unauthenticated_message, deflate=False)
            early, self._early = self._early, b""
            self.speaking.wait(early)
            self.gateway.watch(self.client)

    # What the ends say.

    def taken(self, leg: Leg, data: bytes) -> None:
        """Take what does not flow by itself."""
        if leg.course is not None:
            leg.course(data)
        elif leg is self.client:
            self._early += data
            if len(self._early) > _EARLY:
                leg.hold(True)

    def stirred(self) -> None:
        """Take note of a message, for `idle_timeout`."""
        self.connection.stirred()

    def halted(self, leg: Leg, data: bytes) -> None:
        """Take a broken rule or a close frame, and what may still pass before it."""
        before, frame, code, reason = data, b"", 1005, ""
        if leg.closed:
            size = leg.head + len(leg.close_payload)
            before, frame = data[:-size], data[-size:]
            payload = frames.unmasked(leg.close_payload, leg.mask) if leg.masked else leg.close_payload
            try:
                code, reason = frames.read_close(payload)
            except ValueError as error:
                leg.error, leg.why = error.args
        if leg.error:
            if before and leg.other.open:
                leg.other.write(before)
            self.broken(leg)
            return
        leg.direct = False
        leg.course = _ignore
        if leg is self.client:
            self._left(before + frame, code, reason)
        else:
            self._right_left(before, frame, code, reason)

    def _left(self, data: bytes, code: int, reason: str) -> None:
        """Pass the client's close frame on; the upstream's answer ends it."""
        up = self.up
        if up is None or not up.open:
            self.over(code, reason)
            return
        up.write(data)
        up.told = True
        if up.closed or not up.open:
            self.over(code, reason)
        else:
            self._farewell = (code, reason)
            self.gateway.closing.add(self)

    def left_early(self, leg: Leg) -> None:
        """Answer the close frame of a client to which nothing passes now."""
        try:
            code, reason = frames.read_close(frames.unmasked(leg.close_payload, leg.mask))
        except ValueError as error:
            leg.error, leg.why = error.args
            self.broken(leg)
        else:
            self.close(code, reason)

    def _right_left(self, before: bytes, frame: bytes, code: int, reason: str) -> None:
        """Pass the upstream's close frame on where it is the answer; else have the machine close."""
        if self.client.closed:
            self.client.write(before + frame)
            self.client.told = True
            self._part()
            return
        if before:
            self.client.write(before)
        self.connection.leave(1000 if code == 1005 else code, reason)

    def broken(self, leg: Leg) -> None:
        """Close because one side broke a rule of RFC 6455."""
        leg.direct = False
        leg.course = _ignore
        leg.hold(True)
        if leg is not self.client:
            why = f"the upstream broke RFC 6455: {leg.why}"
            self.connection.end(Refused("upstream_unavailable", why, retry_after=1))
        elif leg.error == 1009:
            self.connection.oversized()
        else:
            self.connection.end(Refused("request_invalid", leg.why), leg.error)

    def ended(self, leg: Leg) -> None:
        """Take it that one side writes no more."""
        if self._closing is not None:
            self._closing.ended(leg)
        elif leg is self.client:
            self._client_ended()
        elif not self.spliced:
            self._fail(Refused("upstream_unavailable", f"{self._name} ended TCP without an answer", retry_after=1))
        elif self.client.closed:
            leg.close()
            self._part()
        else:
            self._upstream_ended()

    def _client_ended(self) -> None:
        """Let what is on its way to the client still come, where it only wrote its end (RFC 9293 section 3.6)."""
        up = self.up
        if up is None or not self.spliced:
            self.over(1006, "")
            return
        self.client.hold(True)
        if self.client.closed:
            return  # the upstream has heard of it, and its answer or its end is waited for
        self.client.closed, self._farewell = True, (1006, "")
        up.finish()
        if up.open:
            self.gateway.closing.add(self)
        else:
            self.over(*self._farewell)

    def _part(self) -> None:
        """End as the client wanted, once it has all that the upstream sent until it was done."""
        if not self.client.loses:
            self.over(*self._farewell)

    def _upstream_ended(self) -> None:
        if self.up is not None:
            self.up.close()
        why = "the upstream ended TCP without a close frame"
        self.connection.end(Refused("upstream_unavailable", why, retry_after=1))

    def lost(self, leg: Leg) -> None:
        """Take it that one side is gone."""
        leg.abort()
        if self._closing is not None:
            self._closing.lost(leg)
        elif leg is self.client:
            self.over(*(self._farewell if leg.closed else (1006, "")))
        elif not self.spliced:
            self._fail(Refused("upstream_unavailable", f"{self._name} reset TCP", retry_after=1))
        elif self.client.closed:
            self.over(*self._farewell)
        else:
            self._upstream_ended()

    def flushed(self, leg: Leg) -> None:
        """Take it that everything written to one side is with the kernel."""
        if self._closing is not None:
            self._closing.flushed(leg)
        elif leg is self.client and leg.closed and (leg.told or self.up is None or not self.up.open):
            self._part()

    def failed(self) -> None:
        """Cut everything: something went wrong that nobody foresaw."""
        self.abort()

    # The pace.

    def _flow(self, leg: Leg) -> None:
        """Let what arrives flow by itself; the client's only where it has no limit."""
        leg.direct = leg is not self.client or self.pace is None
        leg.course = None if leg.direct else self._paced

    def _paced(self, data: bytes) -> None:
        """Pass on as many messages of the client as may pass now; the next one waits, and all behind it."""
        leg, pace = self.client, self.pace
        assert pace is not None  # noqa: S101  it is why this is the course
        before = leg.control
        passed, rest, begun = leg.follow_some(data, pace.left())
        pace.count(begun)
        if leg.error or leg.closed:
            self.halted(leg, passed)
            return
        if leg.watched and len(passed) > leg.control - before:
            self.stirred()
        if passed:
            leg.other.write(passed)
        if rest:
            leg.kept = rest
            leg.hold(True)
            pace.wait()

    def _go_on(self) -> None:
        """Take what had to wait for the pace."""
        if self.speaking is not None:
            self.speaking.go_on()
        else:
            self._release(self.client)

    def _forget_pace(self) -> None:
        if self.pace is not None:
            self.pace.stop()

    # Holding.

    def _hold(self, leg: Leg) -> None:
        if leg is self.client:
            self._forget_pace()
        if leg.between_messages:
            leg.hold(True)
            return
        leg.direct = False
        leg.course = partial(self._hold_at_end, leg)
        self._hold_later()

    def _hold_later(self) -> None:
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(_HELD_AFTER, self._hold_now)

    def _hold_at_end(self, leg: Leg, data: bytes) -> None:
        """Pass on what belongs to the message under way, and keep what came behind it."""
        passed, rest, reached = leg.follow_until(data, False)
        if leg.error or leg.closed:
            self.halted(leg, passed)
            return
        if passed:
            leg.other.write(passed)
        if reached:
            leg.kept = rest
            leg.hold(True)

    def _forget_hold(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _hold_now(self) -> None:
        self._late = None
        for leg in (self.client, self.up):
            if leg is not None and not leg.direct and (self.speaking is None or self.speaking.begun(leg)):
                leg.hold(True)

    def _release(self, leg: Leg) -> None:
        self._flow(leg)
        kept, leg.kept = leg.kept, b""
        leg.hold(False)
        if kept:
            leg.arrived(kept)

    # The end.

    def over(self, code: int, reason: str, *, keep_client: bool = False) -> None:
        """End what is left of it, tell the machine, and let go of everything."""
        if self.dead:
            return
        self.dead = True
        self.gateway.closing.discard(self)
        self._stop_dialling()
        self._forget_hold()
        self._forget_pace()
        if self._closing is not None:
            self._closing.stop()
        for leg in (self.client, self.up):
            if leg is not None:
                if leg is not self.client or not keep_client:
                    leg.close()
                leg.let_go()
        self.connection.gone(code, reason)
        self.speaking = self._closing = self._dial = self.up = self.pace = None


_FOREVER: Final = float("inf")
# Shared by all open links, so that none holds empty lists of its own.
_NO_HEADERS: Final[list[tuple[bytes, bytes]]] = []
_NO_OFFERS: Final[list[str]] = []
_GONE: Final = Client("")


def _ignore(_: bytes) -> None:
    """Take what comes behind a close frame (RFC 6455 section 5.5.1)."""
