"""Closing both sides: each gets a close frame where its messages allow it, answers, and TCP ends.

To each side the message under way goes on to its end, then comes the close frame. After a quarter of a second it goes
between two frames, after half a second TCP is cut, since nothing else would be true (CONTRACT section 6). Of the
client nothing more is passed on but the frame under way where rights were taken away.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from wsauth.core import frames
from wsauth.gateway.splice import Leg

if TYPE_CHECKING:
    from wsauth.gateway.link import Link

__all__ = ["Closing"]

_FRAMES_AFTER: Final = 0.25
"""Seconds after which a close frame no longer waits for a message's end."""
_CUT_AFTER: Final = 0.5
"""Seconds after which it no longer waits for a frame's end either, nor for a peer that does not read."""
_NO_CODE: Final = 1005
_BROKE_THE_RULES: Final = 1002
"""What an upstream that broke RFC 6455 is told, whatever the client is."""


class Closing:
    """Close both sides of a link.

    Args:
        link: which.
        code: of the close frame.
        reason: the same.
        at_once: the client's message under way ends with its frame.
    """

    __slots__ = ("_at_once", "_code", "_frames", "_link", "_reason", "_timer")

    def __init__(self, link: "Link", code: int, reason: str, *, at_once: bool) -> None:
        self._link = link
        self._code = code
        self._reason = reason
        self._at_once = at_once
        self._frames = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Send what can be sent now, and wait for the rest."""
        link = self._link
        link.gateway.closing.add(link)
        client, up = link.client, link.up
        if up is None:
            self._tell(client)
            self._drain(client)
            self._read_on(client)
            link.gateway.watch(client)
        else:
            self._pass(up, client, frame_ends=False)
            if not link.dead:
                self._pass(client, up, frame_ends=self._at_once)
            self._settle(up)
        self._settle(client)
        if not link.dead and self._waits():
            self._timer = asyncio.get_running_loop().call_later(_FRAMES_AFTER, self._between_frames)

    def stop(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the ends say.

    def ended(self, source: Leg) -> None:
        """Take it that one side writes no more, so that nothing more can be passed on from it."""
        source.hold(True)
        sink = source.other
        if sink is not None and sink.open and not sink.told:
            if source.left == 0:
                self._tell(sink)
            else:
                self._cut(sink)
        source.closed = True
        self._settle(source)

    def lost(self, source: Leg) -> None:
        """Take it that one side is gone."""
        self._drain(source.other)
        if source is self._link.client:
            self._link.connection.ended("cut")
        self.ended(source)

    def flushed(self, sink: Leg) -> None:
        """Take it that what was written to one side is with the kernel."""
        self._settle(sink)

    # Each direction.

    def _pass(self, source: Leg, sink: Leg, *, frame_ends: bool) -> None:
        """Let what is under way from one side to the other end, then tell the other."""
        source.direct = False
        finished = bool(source.error) or source.closed or not source.open
        if not sink.open or sink.told:
            self._drain(source)
        elif self._is_between(source, frame_ends=frame_ends or finished):
            self._tell(sink)
            self._drain(source)
        elif finished:
            self._cut(sink)
            self._drain(source)
        else:
            source.course = partial(self._finish, source, sink, frame_ends)
        self._read_on(source)

    def _read_on(self, source: Leg) -> None:
        """Take what was read already, and all that comes."""
        kept, source.kept = source.kept, b""
        source.hold(False)
        if kept and source.course is not None:
            source.course(kept)

    def _is_between(self, source: Leg, *, frame_ends: bool) -> bool:
        """Tell whether what was passed on ends where a close frame may stand."""
        speaking = self._link.speaking
        if speaking is not None and not speaking.begun(source):
            return True
        return source.left == 0 and (frame_ends or not source.fragmented)

    def _finish(self, source: Leg, sink: Leg, frame_ends: bool, data: bytes) -> None:
        passed, rest, reached = source.follow_until(data, frame_ends or self._frames)
        if source.closed:
            passed = passed[: -(source.head + len(source.close_payload))]
        if passed:
            sink.write(passed)
        if source.error:
            self._cut(sink)
        elif reached:
            self._tell(sink)
            self._drain(source)
            if rest:
                self._dropped(source, rest)
            else:
                self._settle(source)

    def _tell(self, sink: Leg) -> None:
        """Write the close frame, behind what is to be said to the client where a message does not go on."""
        if sink.told or not sink.open:
            return
        if sink is self._link.client and self._link.speaking is not None:
            self._link.speaking.say()
        code, mask = self._code, b""
        if sink is not self._link.client:
            mask = self._link.gateway.mask()
            code = _BROKE_THE_RULES if sink.error else code
        payload = b"" if code == _NO_CODE else frames.close_payload(code, self._reason)
        sink.write(frames.written(frames.CLOSE, payload, mask))
        sink.told = True
        if sink is self._link.client and not sink.waiting:
            self._link.connection.ended("closed")

    def _drain(self, source: Leg | None) -> None:
        """Drop what still comes, and only look for the answer to our close frame; room for it is not needed."""
        if source is not None and not self._link.dead:
            source.course = partial(self._dropped, source)
            source.block(False)

    def _dropped(self, source: Leg, data: bytes) -> None:
        if not source.closed and not source.error:
            source.follow(data)
        self._settle(source)

    def _settle(self, leg: Leg) -> None:
        """End TCP where both have said that they close, and everything when both sides are gone."""
        link = self._link
        if link.dead:
            return
        if leg.open and leg.told and not leg.waiting:
            if leg is link.client:
                link.connection.ended("closed")
            if leg.closed:
                leg.close()
            elif leg.error:
                leg.finish()  # whoever broke the rules may go on sending, and must not lose our frame by a reset
        client, up = link.client, link.up
        if not client.open and (up is None or not up.open):
            link.over(self._code, self._reason)

    # When messages do not end.

    def _waits(self) -> bool:
        return any(leg is not None and leg.open and (not leg.told or leg.waiting) for leg in self._sides())

    def _sides(self) -> tuple[Leg, Leg | None]:
        return self._link.client, self._link.up

    def _between_frames(self) -> None:
        self._frames = True
        client, up = self._sides()
        if up is not None:
            for source, sink in ((up, client), (client, up)):
                if sink.open and not sink.told and source.left == 0 and not self._link.dead:
                    self._tell(sink)
                    self._drain(source)
                self._settle(sink)
        if not self._link.dead and self._waits():
            self._timer = asyncio.get_running_loop().call_later(_CUT_AFTER - _FRAMES_AFTER, self._cut_rest)

    def _cut_rest(self) -> None:
        for leg in self._sides():
            if leg is not None and leg.open and (not leg.told or leg.waiting) and not self._link.dead:
                self._cut(leg)

    def _cut(self, leg: Leg) -> None:
        """Cut TCP to one side: whoever closed otherwise would forge the end of a message."""
        if leg.open:
            leg.abort()
            self._drain(leg.other)
            if leg is self._link.client:
                self._link.connection.ended("cut")
        self._settle(leg)
