"""RFC 6455 section 5: frames that must pass, in whatever pieces TCP brings them."""

import os
from collections.abc import Sequence

import pytest

from tests.rfc6455.backends import Echo
from tests.rfc6455.peer import BINARY, CONTINUATION, PING, PONG, TEXT, Peer, Site, frame, opened

LENGTHS = [0, 1, 2, 124, 125, 126, 127, 128, 254, 65_535, 65_536, 65_537]
"""Around every place where a length is written in another way (section 5.2)."""
MIB = 1 << 20


def fragments(payload: bytes, size: int, opcode: int = BINARY) -> list[bytes]:
    """Return a message in fragments of this size (section 5.4)."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    kinds = [opcode, *[CONTINUATION] * (len(parts) - 1)]
    return [
        frame(part, kind, fin=at == len(parts) - 1) for at, (part, kind) in enumerate(zip(parts, kinds, strict=True))
    ]


async def echoed(peer: Peer, payload: bytes, opcode: int = BINARY) -> None:
    """See that this message comes next."""
    found = await peer.message()
    assert found.opcode == opcode
    assert found.payload == payload


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("length", LENGTHS)
async def test_every_length_passes(site: Site, length: int, opcode: int) -> None:
    """A message passes whichever way its length is written."""
    payload = b"x" * length
    async with opened(site) as peer:
        peer.send(frame(payload, opcode))
        await echoed(peer, payload, opcode)


@pytest.mark.parametrize("size", [MIB, 16 * MIB], ids=["1MiB", "16MiB"])
@pytest.mark.parametrize("piece", [0, 64 * 1024], ids=["whole", "fragmented"])
async def test_large_messages_pass(site: Site, size: int, piece: int) -> None:
    """A large message passes, in one frame and in many."""
    payload = os.urandom(MIB) * (size // MIB)
    async with opened(site) as peer:
        peer.send(*(fragments(payload, piece) if piece else [frame(payload)]))
        await echoed(peer, payload)


@pytest.mark.parametrize("length", [100, 1_000, 70_000], ids=["7-bit", "16-bit", "64-bit"])
async def test_a_header_is_cut_at_every_byte(site: Site, length: int) -> None:
    """A frame passes wherever TCP cuts its header, also behind another frame."""
    payload = b"y" * length
    whole = frame(payload)
    async with opened(site) as peer:
        for cut in range(1, len(whole) - length + 1):
            await peer.send_in_pieces(whole[:cut], whole[cut:])
            await echoed(peer, payload)
            await peer.send_in_pieces(frame("first") + whole[:cut], whole[cut:] + frame("last"))
            await echoed(peer, b"first", TEXT)
            await echoed(peer, payload)
            await echoed(peer, b"last", TEXT)


async def test_frames_arrive_byte_by_byte(site: Site) -> None:
    """A whole conversation passes that comes in pieces of one byte."""
    parts = [
        frame("one"),
        frame(b"ping", PING),
        *fragments(b"two, in fragments", 5),
        frame(b"", BINARY),
        frame(b"z" * 130),
    ]
    async with opened(site) as peer:
        await peer.send_in_pieces(*(bytes([byte]) for byte in b"".join(parts)))
        await echoed(peer, b"one", TEXT)
        await echoed(peer, b"two, in fragments")
        await echoed(peer, b"")
        await echoed(peer, b"z" * 130)


async def test_many_frames_arrive_in_one_segment(site: Site) -> None:
    """A thousand messages of different sizes in one write come back in order."""
    messages = [os.urandom(at % 200) for at in range(1_000)]
    async with opened(site) as peer:
        peer.send(*(frame(message) for message in messages))
        for message in messages:
            await echoed(peer, message)


async def test_equal_frames_arrive_in_one_segment(site: Site) -> None:
    """A thousand messages of one size come back in order, and none is taken for another."""
    messages = [at.to_bytes(8) for at in range(1_000)]
    async with opened(site) as peer:
        peer.send(*(frame(message) for message in messages))
        for message in messages:
            await echoed(peer, message)


async def test_frames_that_warn_of_proxy_are_told_apart(site: Site) -> None:
    """A segment is not taken for equal small frames whose last one has only the first byte of theirs, and is longer."""
    small, large = frame(b"ab"), frame(b"c" * 100)
    async with opened(site) as peer:
        await peer.send_in_pieces(small + small + large[: len(small)], large[len(small) :] + small)
        for payload in (b"ab", b"ab", b"c" * 100, b"ab"):
            await echoed(peer, payload)


async def test_control_frames_come_between_fragments(site: Site) -> None:
    """Pings between the fragments of a message are answered at once, and the message is whole (section 5.4)."""
    async with opened(site) as peer:
        for at, part in enumerate(fragments(b"abcdefghij", 2)):
            peer.send(frame(bytes([at]), PING), frame(b"unasked", PONG))
            found = await peer.receive()
            assert (found.opcode, found.payload) == (PONG, bytes([at]))
            peer.send(part)
        await echoed(peer, b"abcdefghij")


@pytest.mark.parametrize(
    "parts",
    [
        [b"", b""],
        [b"", b"x"],
        [b"x", b""],
        [b"", b"", b"x", b"", b"y", b""],
        [b"", *[b""] * 900, b"x"],
        [b"x" * 126, b"y" * 65_536, b"z"],
    ],
    ids=["nothing", "first-empty", "last-empty", "between", "many", "mixed-lengths"],
)
async def test_empty_fragments_pass(site: Site, parts: Sequence[bytes]) -> None:
    """A message passes whose fragments are empty, wherever they stand."""
    async with opened(site) as peer:
        last = len(parts) - 1
        peer.send(*(frame(part, CONTINUATION if at else TEXT, fin=at == last) for at, part in enumerate(parts)))
        await echoed(peer, b"".join(parts), TEXT)


async def test_many_small_fragments_pass(site: Site) -> None:
    """A message in four thousand fragments of one byte passes; the backend takes no more than 4,096."""
    payload = os.urandom(4_000)
    async with opened(site) as peer:
        peer.send(*fragments(payload, 1))
        await echoed(peer, payload)


@pytest.mark.parametrize("size", [0, 1, 125])
async def test_pings_are_answered(site: Site, size: int) -> None:
    """A ping of any size that may be comes back as a pong with the same payload (section 5.5.3)."""
    payload = os.urandom(size)
    async with opened(site) as peer:
        peer.send(frame(payload, PING))
        found = await peer.receive()
        assert (found.opcode, found.payload, found.final, found.rsv) == (PONG, payload, True, 0)


async def test_a_flood_of_pings_is_answered(site: Site) -> None:
    """A thousand pings are answered in order, and the connection is as before."""
    async with opened(site) as peer:
        peer.send(*(frame(at.to_bytes(2), PING) for at in range(1_000)), frame("after"))
        for at in range(1_000):
            found = await peer.receive()
            assert (found.opcode, found.payload) == (PONG, at.to_bytes(2))
        await echoed(peer, b"after", TEXT)


async def test_unasked_pongs_are_dropped(site: Site) -> None:
    """Pongs that nobody asked for change nothing (section 5.5.3)."""
    async with opened(site) as peer:
        peer.send(*(frame(b"unasked", PONG) for _ in range(100)), frame("after"))
        found = await peer.receive()
        assert (found.opcode, found.payload) == (TEXT, b"after")


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
async def test_characters_are_cut_by_fragments(site: Site, cut: int) -> None:
    """A text passes whose fragments end in the middle of a character (section 5.6)."""
    payload = "κόσμε €𐍈".encode()
    async with opened(site) as peer:
        peer.send(*fragments(payload, cut, TEXT))
        await echoed(peer, payload, TEXT)


INVALID = {
    "lone-continuation": b"\x80",
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "beyond": b"\xf4\x90\x80\x80",
    "never": b"\xff",
    "cut-off": "€".encode()[:2],
}
"""What is no UTF-8 (RFC 3629)."""


@pytest.mark.parametrize("case", INVALID)
@pytest.mark.parametrize("piece", [0, 1, 7], ids=["whole", "bytes", "fragmented"])
async def test_text_that_is_no_utf8_is_refused(site: Site, backend: Echo, case: str, piece: int) -> None:
    """A text that is no UTF-8 ends with 1007, and no way to the backend hides that (section 8.1)."""
    payload = b"before " + INVALID[case]
    name = f"utf8-{site.via}-{case}-{piece}"
    async with opened(site, name) as peer:
        peer.send(*(fragments(payload, piece, TEXT) if piece else [frame(payload, TEXT)]))
        assert (await peer.closed()).code == 1007
        await peer.leave()
    assert (await backend.seen[name].ended()).messages == 0
