"""RFC 6455 section 5: what a client may not send. It is told, the backend is told, and no more is passed on."""

import pytest

from tests.rfc6455.backends import Echo
from tests.rfc6455.differences import TAKEN, WIDE
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PING, PONG, Peer, Site, frame, opened, wide

_BEGUN = frame("begun", fin=False)

BROKEN: dict[str, bytes] = {
    "unmasked-text": frame("hello", masked=False),
    "unmasked-empty": frame("", masked=False),
    "unmasked-ping": frame(b"", PING, masked=False),
    "unmasked-close": frame(b"\x03\xe8", CLOSE, masked=False),
    "unmasked-continuation": _BEGUN + frame(b"more", CONTINUATION, masked=False),
    **{f"rsv{bit}-text": frame("hello", rsv=1 << 3 - bit) for bit in (1, 2, 3)},
    "rsv-all": frame(b"hello", rsv=7),
    "rsv1-ping": frame(b"", PING, rsv=4),
    "rsv1-close": frame(b"\x03\xe8", CLOSE, rsv=4),
    "rsv1-continuation": _BEGUN + frame(b"more", CONTINUATION, rsv=4),
    **{f"opcode-{opcode}": frame(b"hello", opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "opcode-3-fragment": frame(b"hello", 3, fin=False),
    "opcode-3-within": _BEGUN + frame(b"hello", 3),
    "ping-of-126": frame(b"x" * 126, PING),
    "pong-of-126": frame(b"x" * 126, PONG),
    "close-of-126": frame(b"\x03\xe8" + b"x" * 124, CLOSE),
    "ping-of-65536": frame(b"x" * 65_536, PING),
    "fragmented-ping": frame(b"ping", PING, fin=False),
    "fragmented-pong": frame(b"pong", PONG, fin=False),
    "fragmented-close": frame(b"\x03\xe8", CLOSE, fin=False),
    "nothing-continued": frame(b"more", CONTINUATION),
    "nothing-continued-unfinished": frame(b"more", CONTINUATION, fin=False),
    "continued-after-the-end": _BEGUN + frame(b"end", CONTINUATION) + frame(b"more", CONTINUATION),
    "text-within-a-message": _BEGUN + frame("another"),
    "binary-within-a-message": _BEGUN + frame(b"another"),
    "begun-within-a-message": _BEGUN + frame("another", fin=False),
    **WIDE,
    "http-request": b"POST /api HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


async def taken(peer: Peer) -> list[int]:
    """Return the opcodes of what comes back before the message that stands behind a broken frame."""
    opcodes = []
    while (found := await peer.receive()).payload != b"never seen":
        if found.payload != b"before":
            opcodes.append(found.opcode)
    return opcodes


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("before", [False, True], ids=["first", "behind"])
async def test_broken_frames_are_refused(site: Site, backend: Echo, case: str, before: bool) -> None:
    """A broken frame ends the connection with 1002, to client and backend, and what came before it is delivered."""
    name = f"broken-{site.via}-{case}-{before}"
    whole = 1 if case == "continued-after-the-end" else 0
    async with opened(site, name) as peer:
        peer.send(frame("before") if before else b"", BROKEN[case], frame("never seen"))
        if site.via == "direct" and case in TAKEN:
            assert TAKEN[case] in await taken(peer)
            return
        assert (await peer.closed()).code == 1002
        await peer.leave()
    seen = await backend.seen[name].ended()
    assert seen.messages == before + whole
    if site.via != "direct":
        assert seen.told == 1002


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_frames_come_in_pieces(through: Site, backend: Echo, case: str) -> None:
    """A broken frame that comes byte by byte is refused as one that comes whole."""
    name = f"pieces-{through.via}-{case}"
    async with opened(through, name) as peer:
        await peer.send_in_pieces(*(bytes([byte]) for byte in BROKEN[case][:40]), BROKEN[case][40:])
        assert (await peer.closed()).code == 1002
        await peer.leave()
    assert (await backend.seen[name].ended()).told == 1002


@pytest.mark.parametrize(
    ("length", "code"), [((64 << 20) + 1, 1009), (1 << 40, 1009), ((1 << 63) - 1, 1009), (1 << 63, 1002)]
)
async def test_a_length_over_the_limit_is_refused_at_its_header(
    through: Site, backend: Echo, length: int, code: int
) -> None:
    """A frame that announces more than `max_message`, or than may be, is refused before its payload comes (10.4)."""
    name = f"announced-{through.via}-{length}"
    async with opened(through, name) as peer:
        peer.send(wide(b"the beginning", BINARY, 8, length=length))
        assert (await peer.closed()).code == code
        await peer.leave()
    seen = await backend.seen[name].ended()
    assert (seen.messages, seen.told) == (0, code)
