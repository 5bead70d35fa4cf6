"""The rules of RFC 6455 section 5, header by header, on both halves of the splice."""

from types import ModuleType
from typing import Any

import pytest

from tests.attacks.wire import frame
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, wide

LIMIT = 1_000
GOING = frame(b"\x03\xe8going", CLOSE)


def raw(first: int, second: int, rest: bytes = b"") -> bytes:
    """Return a frame's first two bytes, which may be any, and what follows."""
    return bytes([first, second]) + rest


def of_client(splice: ModuleType, limit: int = LIMIT, *, deflate: bool = False) -> Any:
    """Return what follows a client."""
    return splice.Follower(True, limit, deflate)


def of_server(splice: ModuleType, limit: int = LIMIT, *, deflate: bool = False) -> Any:
    """Return what follows a server."""
    return splice.Follower(False, limit, deflate)


GOOD = {
    "small": frame("hello"),
    "empty": frame(""),
    "binary": frame(b"hello"),
    "125 bytes": frame(b"x" * 125),
    "126 bytes": frame(b"x" * 126),
    "the limit": frame(b"x" * LIMIT),
    "ping": frame(b"", PING),
    "long ping": frame(b"x" * 125, PING),
    "pong": frame(b"late", PONG),
    "fragments": frame("a", fin=False) + frame("b", CONTINUATION, fin=False) + frame("c", CONTINUATION),
    "a ping between": frame("a", fin=False) + frame(b"x", PING) + frame("b", CONTINUATION),
    "empty fragments": frame("", fin=False) + frame("", CONTINUATION, fin=False) + frame("", CONTINUATION),
    "fragments to the limit": frame("x" * 500, fin=False) + frame("x" * 500, CONTINUATION),
    "two messages to the limit": frame("x" * LIMIT, fin=False) + frame("", CONTINUATION) + frame("x" * LIMIT),
    "equal": frame("abc") * 20,
    "mixed": frame("abc") + frame(b"x" * 300) + frame(b"", PING) + frame("d"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_frames_pass(splice: ModuleType, name: str) -> None:
    """What keeps the rules passes as it came, also byte by byte, and ends between two messages."""
    data = GOOD[name]
    at_once, bytewise = of_client(splice), of_client(splice)
    assert at_once.follow(data) == data
    assert b"".join(bytewise.follow(bytes([byte])) for byte in data) == data
    for follower in (at_once, bytewise):
        assert (follower.error, follower.closed, follower.left, follower.held) == (0, False, 0, b"")
        assert follower.between_messages


BROKEN = {
    "not masked": (frame("x", masked=False), 1002, "not masked"),
    "small and not masked": (raw(0x81, 0x00), 1002, "not masked"),
    "RSV1": (frame("x", rsv=4), 1002, "reserved bit"),
    "RSV2": (frame("x", rsv=2), 1002, "reserved bit"),
    "RSV3": (frame("x", rsv=1), 1002, "reserved bit"),
    "RSV1 of a ping": (frame(b"x", PING, rsv=4), 1002, "reserved bit"),
    **{f"opcode {code}": (frame("x", code), 1002, "opcode") for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a long ping": (wide(b"x" * 126, PING, 2), 1002, "control frame"),
    "a ping's length in 2 bytes": (wide(b"x", PING, 2), 1002, "control frame"),
    "a ping's length in 8 bytes": (wide(b"x", PING, 8), 1002, "control frame"),
    "half a ping": (frame(b"x", PING, fin=False), 1002, "control frame"),
    "half a pong": (frame(b"x", PONG, fin=False), 1002, "control frame"),
    "half a close": (frame(b"\x03\xe8", CLOSE, fin=False), 1002, "control frame"),
    "a long close": (wide(b"\x03\xe8" + b"x" * 124, CLOSE, 2), 1002, "control frame"),
    "125 in 2 bytes": (wide(b"x" * 125, TEXT, 2), 1002, "fewest bytes"),
    "0 in 2 bytes": (wide(b"", TEXT, 2), 1002, "fewest bytes"),
    "126 in 8 bytes": (wide(b"x" * 126, TEXT, 8), 1002, "fewest bytes"),
    "65535 in 8 bytes": (wide(b"", TEXT, 8, length=65_535), 1002, "fewest bytes"),
    "the highest bit": (wide(b"", TEXT, 8, length=1 << 63), 1002, "fewest bytes"),
    "a continuation of nothing": (frame("x", CONTINUATION), 1002, "continues nothing"),
    "an open continuation of nothing": (frame("x", CONTINUATION, fin=False), 1002, "continues nothing"),
    "one byte too long": (frame("x" * (LIMIT + 1)), 1009, "over 1000 bytes"),
    "far too long": (wide(b"", BINARY, 8, length=1 << 40), 1009, "over 1000 bytes"),
}


@pytest.mark.parametrize("before", [b"", frame("fine"), frame(b"x" * 200), frame(b"", PING)], ids=len)
@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_are_found(splice: ModuleType, name: str, before: bytes) -> None:
    """A frame that breaks a rule does not pass, nor anything behind it; what came before it does."""
    broken, code, why = BROKEN[name]
    follower = of_client(splice)
    assert follower.follow(before + broken + frame("later")) == before
    assert follower.error == code
    assert why in follower.why
    assert (follower.left, follower.held) == (0, b"")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_are_found_byte_by_byte(splice: ModuleType, name: str) -> None:
    """However the bytes come, nothing of a frame passes that breaks a rule."""
    broken, code, _ = BROKEN[name]
    follower, fine = of_client(splice), frame("fine")
    passed = b""
    for byte in fine + broken:
        passed += follower.follow(bytes([byte]))
        if follower.error:
            break
    assert (passed, follower.error) == (fine, code)


@pytest.mark.parametrize(
    ("first", "broken", "code"),
    [
        (frame("a", fin=False), frame("b"), 1002),
        (frame("a", fin=False), frame(b"b"), 1002),
        (frame("a", fin=False), frame("b", fin=False), 1002),
        (frame("a", fin=False) + frame(b"", PING), frame("b"), 1002),
        (frame("a", fin=False), frame(b"", PING, fin=False), 1002),
        (frame("x" * 600, fin=False), frame("x" * 401, CONTINUATION), 1009),
        (frame("x" * LIMIT, fin=False), frame("x", CONTINUATION, fin=False), 1009),
    ],
)
def test_broken_rules_within_a_message_are_found(splice: ModuleType, first: bytes, broken: bytes, code: int) -> None:
    """A message inside another one, and fragments that are too much together, do not pass."""
    follower = of_client(splice)
    assert follower.follow(first) == first
    assert not follower.between_messages
    assert follower.follow(broken) == b""
    assert follower.error == code


def test_empty_fragments_have_an_end(splice: ModuleType) -> None:
    """A thousand fragments without a byte in a row pass, and not one more; a byte begins the count anew."""
    follower = of_client(splice)
    empty = frame("", CONTINUATION, fin=False)
    begin = frame("", fin=False) + empty * splice.EMPTY_FRAGMENTS
    assert follower.follow(begin) == begin
    again = frame("x", CONTINUATION, fin=False) + empty * splice.EMPTY_FRAGMENTS
    assert follower.follow(again) == again
    assert follower.follow(empty) == b""
    assert follower.error == 1008


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_rsv1_passes_where_deflate_was_agreed_on(splice: ModuleType, opcode: int) -> None:
    """RSV1 marks a compressed message (RFC 7692 section 6), small, larger or in fragments."""
    follower = of_client(splice, deflate=True)
    for size in (0, 5, 125, 126, 900):
        data = frame(b"x" * size, opcode, rsv=4) + frame(b"x", opcode)
        assert follower.follow(data) == data
    fragments = frame(b"x", opcode, rsv=4, fin=False) + frame(b"x", CONTINUATION)
    assert follower.follow(fragments) == fragments
    assert follower.error == 0


@pytest.mark.parametrize(
    "broken",
    [
        frame("a", rsv=4, fin=False) + frame("b", CONTINUATION, rsv=4),
        frame(b"", PING, rsv=4),
        frame(b"", CLOSE, rsv=4),
        frame("a", rsv=6),
        frame("a", rsv=2),
    ],
)
def test_rsv1_stands_only_at_a_messages_beginning(splice: ModuleType, broken: bytes) -> None:
    """With deflate too no other frame has a reserved bit (RFC 7692 section 6)."""
    follower = of_client(splice, deflate=True)
    follower.follow(broken)
    assert follower.error == 1002


def test_a_server_does_not_mask(splice: ModuleType) -> None:
    """What an upstream sends passes without masks, and not with one (section 5.1)."""
    follower = of_server(splice)
    data = frame("x", masked=False) + frame(b"x" * 126, masked=False) + frame("y", masked=False) * 9
    assert follower.follow(data) == data
    assert follower.follow(frame("x")) == b""
    assert (follower.error, follower.why) == (1002, "a server's frame is masked (5.1)")


def test_a_small_limit_holds_for_small_frames(splice: ModuleType) -> None:
    """A limit of a few bytes holds also on the short ways through."""
    follower = of_client(splice, 10)
    most = frame("x" * 10) * 3
    assert follower.follow(most) == most
    assert follower.follow(frame("x" * 11)) == b""
    assert follower.error == 1009


def test_what_may_pass_can_be_changed(splice: ModuleType) -> None:
    """`allow` changes the limit and deflate from the next frame on."""
    follower = of_client(splice, 10)
    follower.allow(200, True)
    data = frame("x" * 200) + frame("x", rsv=4)
    assert follower.follow(data) == data
    follower.allow(10, False)
    assert follower.follow(frame("x", rsv=4)) == b""
    assert follower.error == 1002


def test_a_close_frame_ends_it(splice: ModuleType) -> None:
    """A close frame passes, is read, and nothing passes behind it."""
    follower = of_client(splice)
    data = frame("last") + GOING
    assert follower.follow(data + frame("later")) == data
    assert follower.closed
    assert (follower.opcode, follower.head, follower.mask) == (CLOSE, 6, GOING[2:6])
    assert follower.close_payload == GOING[6:]
    assert follower.error == 0


@pytest.mark.parametrize("cut", range(1, len(GOING)))
def test_a_close_frame_passes_only_whole(splice: ModuleType, cut: int) -> None:
    """Nothing of a close frame passes before it is whole."""
    follower = of_client(splice)
    assert follower.follow(GOING[:cut]) == b""
    assert not follower.closed
    assert follower.between_messages
    assert follower.follow(GOING[cut:]) == GOING
    assert follower.closed


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_control_frames_pass_only_whole(splice: ModuleType, opcode: int) -> None:
    """Nothing of a control frame passes before it is whole, and its bytes are counted as such when it does."""
    follower = of_client(splice)
    message, control = frame("message"), frame(b"x" * 100, opcode)
    assert follower.follow(message + control[:50]) == message
    assert (follower.control, follower.between_messages) == (0, True)
    assert follower.follow(control[50:]) == control
    assert follower.control == len(control)


def test_pings_have_a_rate(splice: ModuleType) -> None:
    """A client's thousand pings and pongs in a second pass, and not three thousand; an upstream's all do."""
    follower, upstream = of_client(splice), of_server(splice)
    many = frame(b"", PING) * splice.PINGS
    assert follower.follow(many) == many
    follower.follow(many * 2)
    assert (follower.error, follower.closed) == (1008, False)
    plain = frame(b"", PING, masked=False) * splice.PINGS * 3
    assert upstream.follow(plain) == plain


@pytest.mark.parametrize(
    "data", [b"\x81", b"\xc1", b"\x00", b"\x88", b"\x81\xfe", b"\x82\xff\0\0\0", frame(b"x", PING)[:5]]
)
def test_an_incomplete_header_waits(splice: ModuleType, data: bytes) -> None:
    """What cannot be judged yet is held back, so that what passed ends between two frames."""
    follower = of_client(splice, 1 << 40, deflate=True)
    before = frame("before")
    assert follower.follow(before + data) == before
    assert (follower.left, follower.held) == (0, data)
    assert follower.between_messages


def test_the_middle_of_a_large_frame_passes(splice: ModuleType) -> None:
    """Bytes of a frame's payload pass without a look, and `left` says how many are to come."""
    follower = of_client(splice, 1 << 20)
    data = frame(b"x" * 100_000)
    for at in range(0, len(data), 1_460):
        piece = data[at : at + 1_460]
        assert follower.follow(piece) == piece
        assert follower.left == len(data) - at - len(piece)
    assert follower.between_messages


def test_equal_frames_are_not_only_equal_at_the_beginning(splice: ModuleType) -> None:
    """Frames of one length at a stride, of which one breaks a rule, are found as one by one."""
    equal = frame("abc")
    for at in range(8):
        for broken in (frame("abc", rsv=4), frame("abc", CONTINUATION), frame("abc", 3), raw(0x81, 0x03, bytes(7))):
            follower = of_client(splice)
            assert follower.follow(equal * at + broken + equal * (7 - at)) == equal * at
            assert follower.error == 1002


def test_frames_of_other_lengths_are_followed(splice: ModuleType) -> None:
    """A chunk as long as four of its first frame, in which the others are of other lengths, is followed one by one."""
    follower = of_client(splice)
    data = frame("abc") + frame("abcdefgh") + frame("a" * 7)
    assert len(data) % len(frame("abc")) == 0
    assert follower.follow(data) == data
    assert follower.between_messages
    broken = frame("abc") + frame("abcdefgh") + frame("a" * 7, rsv=1)
    assert follower.follow(broken) == broken[:23]
    assert follower.error == 1002


# Only to the next end.


def test_until_a_messages_end(splice: ModuleType) -> None:
    """What is under way passes to the message's end, with the control frames in it; the rest comes back."""
    follower = of_client(splice)
    message = frame("a", fin=False) + frame(b"x", PING) + frame("b" * 300, CONTINUATION)
    follower.follow(message[:6])
    rest = frame("later") + frame(b"", PING)
    assert follower.follow_until(message[6:] + rest, False) == (message[6:], rest, True)
    assert follower.between_messages


def test_until_a_messages_end_in_pieces(splice: ModuleType) -> None:
    """Byte by byte the end is found at the same place."""
    follower = of_client(splice)
    message = frame("a", fin=False) + frame(b"x", PING) + frame("b" * 300, CONTINUATION)
    passed = follower.follow(message[:6])
    for at in range(6, len(message)):
        some, rest, reached = follower.follow_until(message[at : at + 1], False)
        passed += some
        assert (rest, reached) == (b"", at == len(message) - 1)
    assert passed == message


def test_until_a_frames_end(splice: ModuleType) -> None:
    """The frame under way passes to its end, and no other frame of its message."""
    follower = of_client(splice)
    first, second = frame("a" * 50, fin=False), frame("b", CONTINUATION)
    follower.follow(first[:20])
    assert follower.follow_until(first[20:30], True) == (first[20:30], b"", False)
    assert follower.follow_until(first[30:] + second, True) == (first[30:], second, True)
    assert (follower.left, follower.fragmented, follower.between_messages) == (0, True, False)


@pytest.mark.parametrize("frame_ends", [True, False])
def test_until_an_end_that_is_there(splice: ModuleType, frame_ends: bool) -> None:
    """Between two messages nothing more passes, and what was held back comes back with the rest."""
    follower = of_client(splice)
    data = frame("later")
    follower.follow(frame("before") + data[:1])
    assert follower.follow_until(data[1:], frame_ends) == (b"", data, True)
    assert follower.held == b""


def test_until_a_close_frame(splice: ModuleType) -> None:
    """A close frame within a message is an end too, and nothing of what follows comes back."""
    follower = of_client(splice)
    first = frame("a", fin=False)
    follower.follow(first[:6])
    assert follower.follow_until(first[6:] + GOING + b"later", False) == (first[6:] + GOING, b"", True)
    assert follower.closed
    assert follower.close_payload == GOING[6:]


def test_until_a_broken_rule(splice: ModuleType) -> None:
    """What came before a broken rule passes."""
    follower = of_client(splice)
    first = frame("a", fin=False)
    follower.follow(first[:6])
    assert follower.follow_until(first[6:] + frame("b") + b"later", False) == (first[6:], b"", False)
    assert follower.error == 1002
