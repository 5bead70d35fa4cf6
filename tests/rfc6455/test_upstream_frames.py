"""RFC 6455 section 5 the other way: what an upstream sends passes as it is, or is the end, clean on both sides."""

import json
import os

import pytest

from tests.rfc6455.backends import Scripted
from tests.rfc6455.differences import BECOMES
from tests.rfc6455.peer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Peer, Site, frame, opened, wide


def plain(payload: str | bytes, opcode: int | None = None, *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a server's frame."""
    return frame(payload, opcode, fin=fin, rsv=rsv, masked=False)


_BEGUN = plain("begun", fin=False)

PASSING: dict[str, bytes] = {
    "empty": plain(""),
    "lengths": b"".join(plain(b"x" * size) for size in (0, 1, 125, 126, 127, 65_535, 65_536)),
    "fragments": _BEGUN + plain(b"", CONTINUATION, fin=False) + plain(b"end", CONTINUATION),
    "ping-between": _BEGUN + plain(b"ping", PING) + plain(b"end", CONTINUATION),
    "ping": plain(b"x" * 125, PING),
    "unasked-pong": plain(b"unasked", PONG),
    "no-utf8": plain(b"\xff\xfe", TEXT),
    "many": b"".join(plain(f"message {at}") for at in range(1_000)),
    "large": plain(b"x" * (1 << 20)),
    "many-empty-fragments": _BEGUN + plain(b"", CONTINUATION, fin=False) * 900 + plain(b"end", CONTINUATION),
}

BROKEN: dict[str, bytes] = {
    "masked-text": frame("hello"),
    "masked-ping": frame(b"", PING),
    "masked-close": frame(b"\x03\xe8", CLOSE),
    **{f"rsv{bit}": plain("hello", rsv=1 << 3 - bit) for bit in (1, 2, 3)},
    **{f"opcode-{opcode}": plain(b"hello", opcode) for opcode in (3, 7, 11, 15)},
    "ping-of-126": plain(b"x" * 126, PING),
    "fragmented-ping": plain(b"ping", PING, fin=False),
    "nothing-continued": plain(b"more", CONTINUATION),
    "text-within-a-message": _BEGUN + plain("another"),
    "length-126-of-125": wide(b"x" * 125, BINARY, 2, masked=False),
    "length-127-of-65535": wide(b"x" * 65_535, BINARY, 8, masked=False),
    "length-with-top-bit": wide(b"", BINARY, 8, length=1 << 63, masked=False),
    "close-of-one-byte": plain(b"\x03", CLOSE),
    "close-of-126": plain(b"\x03\xe8" + b"x" * 124, CLOSE),
    "close-reason-no-utf8": plain(b"\x03\xe8\xff", CLOSE),
    **{
        f"close-{code}": plain(code.to_bytes(2), CLOSE)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535)
    },
    "http-response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


async def told_to_try_again(peer: Peer, site: Site, *, begun: bool) -> None:
    """See the end that a client is told of when its upstream fails.

    Who speaks wsauth gets a message too, unless one of the upstream's has begun: there is no place for it then.
    """
    if begun:
        assert (await peer.receive()).payload == b"begun"
    found = await peer.receive()
    if site.greets and not begun:
        said = json.loads(found.payload)
        assert (said["type"], said["code"], said["closing"]) == ("auth_error", "upstream_unavailable", True)
        found = await peer.receive()
    assert (found.opcode, found.code, found.reason) == (CLOSE, 1013, "upstream_unavailable")


@pytest.mark.parametrize("case", PASSING)
async def test_what_an_upstream_may_send_passes_as_it_is(
    to_misbehaving: Site, misbehaving: Scripted, case: str
) -> None:
    """The bytes that the client gets are those that the upstream sent."""
    sent = PASSING[case]
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        upstream.send(sent)
        assert await peer.reader.readexactly(len(sent)) == sent


@pytest.mark.parametrize("length", [100, 1_000, 70_000], ids=["7-bit", "16-bit", "64-bit"])
async def test_an_upstreams_header_is_cut_at_every_byte(
    to_misbehaving: Site, misbehaving: Scripted, length: int
) -> None:
    """A server's frame passes wherever TCP cuts its header."""
    payload = os.urandom(length)
    whole = plain(payload)
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        for cut in range(1, len(whole) - length + 1):
            await upstream.send_in_pieces(plain("first") + whole[:cut], whole[cut:] + plain("last"))
            assert [(await peer.message()).payload for _ in range(3)] == [b"first", payload, b"last"]


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("before", [False, True], ids=["first", "behind"])
async def test_a_broken_upstream_ends_cleanly(
    to_misbehaving: Site, misbehaving: Scripted, case: str, before: bool
) -> None:
    """A broken frame of the upstream is never passed on: the client is told to try again, the upstream 1002."""
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        upstream.send(plain("before") if before else b"", BROKEN[case], plain("never seen"))
        if before:
            assert (await peer.message()).payload == b"before"
        await told_to_try_again(peer, to_misbehaving, begun=BROKEN[case].startswith(_BEGUN))
        assert (await upstream.closed()).code == 1002
        await upstream.leave()
        await peer.leave()


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 1014, 3000, 4000, 4999])
async def test_an_upstreams_close_reaches_the_client(to_misbehaving: Site, misbehaving: Scripted, code: int) -> None:
    """An upstream's code and reason reach the client, and the client's answer ends it."""
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        upstream.send(plain("before"), plain(code.to_bytes(2) + b"because", CLOSE), plain("never seen"))
        assert (await peer.message()).payload == b"before"
        found = await peer.receive()
        told = BECOMES.get(code, code)
        assert (found.opcode, found.code, found.reason) == (CLOSE, told, "because")
        assert (await upstream.closed()).code == told
        peer.send(frame(code.to_bytes(2), CLOSE))
        await peer.ends()


async def test_an_upstreams_close_without_a_code(to_misbehaving: Site, misbehaving: Scripted) -> None:
    """A close frame without a code ends the connection, and 1005 is never written (section 7.1.5)."""
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        upstream.send(plain(b"", CLOSE))
        found = await peer.receive()
        assert (found.opcode, found.payload[:2]) in [(CLOSE, b""), (CLOSE, b"\x03\xe8")]
        await upstream.closed()
        await peer.leave()


ENDS = {
    "between": b"",
    "header": plain(b"x" * 1_000)[:3],
    "fragments": _BEGUN,
}


@pytest.mark.parametrize("case", ENDS)
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_an_upstream_ends_without_a_close(
    to_misbehaving: Site, misbehaving: Scripted, case: str, reset: bool
) -> None:
    """An upstream that ends TCP has its client told to try again."""
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        upstream.send(plain("whole"), ENDS[case])
        assert (await peer.message()).payload == b"whole"
        if reset:
            upstream.reset()
        else:
            upstream.writer.close()
        await told_to_try_again(peer, to_misbehaving, begun=case == "fragments")
        await peer.leave()


async def test_an_upstream_ends_within_a_frame(to_misbehaving: Site, misbehaving: Scripted) -> None:
    """A frame that will never be whole is not filled up: TCP to the client ends, and nothing looks like a message."""
    async with opened(to_misbehaving) as peer, misbehaving.end() as upstream:
        upstream.send(plain("whole"), plain(b"x" * 1_000)[:500])
        assert (await peer.message()).payload == b"whole"
        upstream.writer.close()
        with pytest.raises(EOFError):
            await peer.receive()
