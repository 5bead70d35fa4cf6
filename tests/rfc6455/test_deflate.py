"""RFC 7692 section 6: what the reserved bit means where permessage-deflate is agreed on, and nothing else changes."""

import os
import zlib

import pytest

from tests.rfc6455.backends import Echo
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PING, TEXT, Peer, Site, frame, opened

_RSV1 = 4
_TAIL = b"\x00\x00\xff\xff"
"""What a sender leaves out at the end of a message (RFC 7692 section 7.2.1)."""


def deflated(payload: bytes) -> bytes:
    """Return a message's payload as it is sent."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


async def echoed(peer: Peer, payload: bytes, opcode: int = TEXT) -> None:
    """See that this message comes next, compressed or not."""
    found = await peer.message()
    packed = zlib.decompressobj(wbits=-15).decompress(found.payload + _TAIL) if found.rsv else found.payload
    assert (found.opcode, packed) == (opcode, payload)


async def test_compressed_messages_pass(deflating: Site) -> None:
    """Compressed messages pass whole, in fragments and between others that are not; the answer is compressed too."""
    payload = b"many words, many words, " * 1_000
    packed = deflated(payload)
    async with opened(deflating) as peer:
        assert b"permessage-deflate" in peer.head
        peer.send(frame(packed, TEXT, rsv=_RSV1))
        found = await peer.receive()
        assert (found.final, found.rsv, found.opcode) == (True, _RSV1, TEXT)
        assert len(found.payload) < len(payload) // 10
        peer.send(frame(packed[:9], TEXT, fin=False, rsv=_RSV1), frame(b"", PING), frame(packed[9:], CONTINUATION))
        await echoed(peer, payload)
        peer.send(frame("as it is"), frame(deflated(b"packed"), BINARY, rsv=_RSV1), frame("as it is"))
        await echoed(peer, b"as it is")
        await echoed(peer, b"packed", BINARY)
        await echoed(peer, b"as it is")


async def test_small_compressed_messages_come_in_one_segment(deflating: Site) -> None:
    """Hundreds of compressed messages of different sizes in one write come back in order."""
    messages = [os.urandom(at % 150) for at in range(500)]
    async with opened(deflating) as peer:
        peer.send(*(frame(deflated(message), BINARY, rsv=_RSV1) for message in messages))
        for message in messages:
            await echoed(peer, message, BINARY)


BROKEN = {
    "rsv1-ping": frame(b"", PING, rsv=_RSV1),
    "rsv1-close": frame(b"\x03\xe8", CLOSE, rsv=_RSV1),
    "rsv1-continuation": frame(b"begun", TEXT, fin=False, rsv=_RSV1) + frame(b"more", CONTINUATION, rsv=_RSV1),
    "rsv2": frame(b"hello", rsv=2),
    "rsv3": frame(b"hello", rsv=1),
    "rsv1-and-2": frame(b"hello", rsv=6),
    "rsv1-reserved-opcode": frame(b"hello", 3, rsv=_RSV1),
    "rsv1-unmasked": frame(b"hello", rsv=_RSV1, masked=False),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_the_other_reserved_bits_stay_reserved(deflating: Site, backend: Echo, case: str) -> None:
    """RSV1 means something at the beginning of a message and nowhere else, and the other bits mean nothing."""
    name = f"deflate-{deflating.via}-{case}"
    async with opened(deflating, name) as peer:
        peer.send(frame(deflated(b"before"), TEXT, rsv=_RSV1), BROKEN[case], frame("never seen"))
        assert (await peer.closed()).code == 1002
        await peer.leave()
    seen = await backend.seen[name].ended()
    assert seen.messages == 1
    if deflating.via != "direct":
        assert seen.told == 1002
