"""Whatever frames come, in whatever pieces: the splice passes on what a slow and simple reader would (RFC 6455 5)."""

import struct
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import CLIENT, SERVER, Protocol, State

LIMIT = 300
DATA, CONTINUATION, CLOSE, PING, PONG = (1, 2), 0, 8, 9, 10


@dataclass(frozen=True)
class Made:
    """Be a frame to send, good or bad."""

    opcode: int
    payload: bytes
    final: bool = True
    rsv: int = 0
    masked: bool = True
    octets: int | None = None

    def bytes(self) -> bytes:
        """Return it, with a mask that changes nothing, so that payloads can be told apart."""
        size = len(self.payload)
        octets = self.octets if self.octets is not None else (0 if size < 126 else 2 if size < 65_536 else 8)
        length = {0: size, 2: 126, 8: 127}[octets]
        head = bytes([self.final << 7 | self.rsv << 4 | self.opcode, self.masked << 7 | length])
        extended = size.to_bytes(octets) if octets else b""
        return head + extended + (bytes(4) if self.masked else b"") + self.payload


@dataclass(frozen=True)
class Read:
    """Hold what the simple reader found.

    Attributes:
        ends: where frames that may pass end.
        error: the close code of the rule that the frame behind the last of them breaks, 0 for none.
        closed: the last of them is a close frame.
        fragmented: a message has begun and not ended with the last of them.
    """

    ends: tuple[int, ...]
    error: int = 0
    closed: bool = False
    fragmented: bool = False


def read(data: bytes, *, masked: bool, deflate: bool) -> Read:
    """Read frame by frame, as the RFC tells it, as far as whole frames are there."""
    ends, at = [0], 0
    message: int | None = None  # bytes of the message that has begun
    while len(data) - at >= 2:
        first, second = struct.unpack_from("!BB", data, at)
        opcode, final = first & 15, bool(first >> 7)
        if not _may_begin(first, second, masked=masked, deflate=deflate, inside=message is not None):
            return Read(tuple(ends), 1002, False, message is not None)
        head, length = _length(data[at:])
        if length < 0:
            return Read(tuple(ends), 1002, False, message is not None)
        head += 4 if masked else 0
        if len(data) - at < head:
            break
        if opcode < CLOSE and (message or 0) + length > LIMIT:
            return Read(tuple(ends), 1009, False, message is not None)
        if len(data) - at < head + length:
            break
        at += head + length
        ends.append(at)
        if opcode == CLOSE:
            return Read(tuple(ends), 0, True, message is not None)
        if opcode < CLOSE:
            message = None if final else (message or 0) + length
    return Read(tuple(ends), 0, False, message is not None)


def _may_begin(first: int, second: int, *, masked: bool, deflate: bool, inside: bool) -> bool:
    """Tell whether a frame may begin with these two bytes."""
    opcode, rsv, final, length = first & 15, first >> 4 & 7, first >> 7, second & 127
    if bool(second >> 7) != masked or (rsv and not (rsv == 4 and deflate and opcode in DATA)):
        return False
    if opcode in (CLOSE, PING, PONG):
        return bool(final) and length <= 125
    return opcode == CONTINUATION if inside else opcode in DATA


def _length(data: bytes) -> tuple[int, int]:
    """Return the bytes of a header without its mask, and the length; -1 where it is not in the fewest bytes."""
    short = data[1] & 127
    if short <= 125:
        return 2, short
    form, least = ("!H", 126) if short == 126 else ("!Q", 65_536)
    head = 2 + struct.calcsize(form)
    if len(data) < head:
        return head, 0
    (length,) = struct.unpack_from(form, data, 2)
    return head, length if least <= length < 1 << 63 else -1


def frames(*, masked: bool) -> st.SearchStrategy[Made]:
    """Return good and bad frames; most are good, and many are small and equal."""
    sizes = st.one_of(st.integers(0, 8), st.sampled_from([124, 125, 126, 127, 140, 299, 300, 301]))
    payloads = sizes.map(lambda size: b"\x81" * size)  # looks like headers
    good = st.builds(
        Made,
        st.sampled_from([1, 1, 2, 0, 0, PING, PONG]),
        payloads,
        st.sampled_from([True, True, False]),
        masked=st.just(masked),
    )
    closing = st.builds(
        Made, st.just(CLOSE), st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye"]), masked=st.just(masked)
    )
    odd = st.builds(
        Made,
        st.integers(0, 15),
        payloads,
        st.booleans(),
        st.sampled_from([0, 0, 4, 4, 1, 2, 7]),
        st.sampled_from([masked, masked, masked, not masked]),
        st.sampled_from([None, None, 2, 8]),
    )
    return st.one_of(good, good, good, good, good, closing, odd)


def told(made: list[Made]) -> list[Made]:
    """Return frames with the opcodes put right by force for most messages, so that not every list ends at once."""
    found, inside = [], False
    for each in made:
        opcode = each.opcode
        if opcode < CLOSE and each.rsv == 0 and opcode <= 2:
            opcode = 0 if inside else opcode or 1
            inside = not each.final
        found.append(Made(opcode, each.payload, each.final, each.rsv, each.masked, each.octets))
    return found


@st.composite
def streams(draw: st.DrawFn, *, masked: bool) -> tuple[bytes, list[bytes]]:
    """Return what a peer sends, and the same in the pieces in which it comes."""
    made = draw(st.lists(frames(masked=masked), max_size=8))
    if draw(st.booleans()):
        made = told(made)
    data = b"".join(each.bytes() for each in made) * draw(st.sampled_from([1, 1, 1, 5]))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    data = data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data
    places = [0, *(cut for cut in cuts if cut < len(data)), len(data)]
    return data, [data[a:b] for a, b in pairwise(places)]


def check(follower: Any, pieces: list[bytes], *, masked: bool, deflate: bool) -> None:
    """Follow the pieces, and compare what passes with what the simple reader says of all that has come."""
    came, passed = b"", b""
    for piece in pieces:
        came += piece
        passed += follower.follow(piece)
        expected = read(came, masked=masked, deflate=deflate)
        assert came.startswith(passed)
        assert (follower.error, follower.closed) == (expected.error, expected.closed)
        last = expected.ends[-1]
        if expected.error or expected.closed:
            assert passed == came[:last]
            return
        # Of the frame under way something may have passed; what did not is held back.
        assert last <= len(passed)
        assert passed + follower.held == came
        if follower.left == 0:
            assert len(passed) == last
            assert follower.between_messages is not expected.fragmented
        else:
            assert len(passed) > last
            assert not follower.between_messages


@given(stream=streams(masked=True), deflate=st.booleans())
def test_a_client_is_followed(splice: ModuleType, stream: tuple[bytes, list[bytes]], deflate: bool) -> None:
    """What passes of a client is what a simple reader lets pass, wherever the pieces are cut."""
    check(splice.Follower(True, LIMIT, deflate), stream[1], masked=True, deflate=deflate)


@given(stream=streams(masked=False), deflate=st.booleans())
def test_an_upstream_is_followed(splice: ModuleType, stream: tuple[bytes, list[bytes]], deflate: bool) -> None:
    """What passes of an upstream is what a simple reader lets pass, wherever the pieces are cut."""
    check(splice.Follower(False, LIMIT, deflate), stream[1], masked=False, deflate=deflate)


@given(stream=streams(masked=True), frame_ends=st.booleans(), at=st.integers(0, 20))
def test_the_next_end_is_found(
    splice: ModuleType, stream: tuple[bytes, list[bytes]], frame_ends: bool, at: int
) -> None:
    """Whatever has passed before, `follow_until` passes to the first end from there, and gives back the rest."""
    data, pieces = stream
    follower = splice.Follower(True, LIMIT, False)
    passed = b"".join(follower.follow(piece) for piece in pieces[:at])
    if follower.error or follower.closed:
        return
    behind, reached, rest = pieces[at:], False, b""
    while behind and not reached and not follower.error:
        some, rest, reached = follower.follow_until(behind.pop(0), frame_ends)
        passed += some
    whole = read(data, masked=True, deflate=False)
    assert data.startswith(passed)
    if reached:
        assert follower.left == 0
        assert follower.closed or passed + rest + b"".join(behind) == data
        assert len(passed) in whole.ends
        assert follower.closed or frame_ends or not read(passed, masked=True, deflate=False).fragmented


@given(stream=streams(masked=True))
def test_what_passes_of_a_client_is_good_for_websockets(splice: ModuleType, stream: tuple[bytes, list[bytes]]) -> None:
    """A server of another make finds no fault with the frames that passed."""
    _judge(splice, stream, Protocol(SERVER, state=State.OPEN, max_size=None), masked=True)


@given(stream=streams(masked=False))
def test_what_passes_of_an_upstream_is_good_for_websockets(
    splice: ModuleType, stream: tuple[bytes, list[bytes]]
) -> None:
    """A client of another make finds no fault with the frames that passed."""
    _judge(splice, stream, Protocol(CLIENT, state=State.OPEN, max_size=None), masked=False)


def _judge(splice: ModuleType, stream: tuple[bytes, list[bytes]], judge: Protocol, *, masked: bool) -> None:
    follower = splice.Follower(masked, LIMIT, False)
    for piece in stream[1]:
        judge.receive_data(follower.follow(piece))
        if follower.error or follower.closed:
            break
    fault = judge.parser_exc
    # Between two fragments a close frame may stand (RFC 6455 section 5.4); that library takes it for an error.
    assert fault is None or (follower.closed and "incomplete fragmented message" in str(fault))
