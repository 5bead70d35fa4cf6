"""RFC 6455 sections 5.5.1 and 7: how connections end, by the client, by the network, and in the middle of something."""

import asyncio

import pytest

from tests.rfc6455.backends import Echo
from tests.rfc6455.differences import ANSWERS_WITHIN
from tests.rfc6455.peer import CLOSE, CONTINUATION, PING, PONG, TEXT, Site, frame, opened, wide

VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
"""Codes that nobody may send (section 7.4, and the registry of IANA)."""


def closing(code: int, reason: str | bytes = b"") -> bytes:
    """Return a client's close frame."""
    return frame(code.to_bytes(2) + (reason.encode() if isinstance(reason, str) else reason), CLOSE)


@pytest.mark.parametrize("code", VALID)
async def test_codes_that_may_be_sent_reach_the_backend(site: Site, backend: Echo, code: int) -> None:
    """A client's code and reason reach the backend, and its answer comes back."""
    name = f"valid-{site.via}-{code}"
    async with opened(site, name) as peer:
        peer.send(closing(code, "going"))
        assert (await peer.closed()).code == code
        await peer.ends()
    seen = await backend.seen[name].ended()
    assert (seen.told, seen.reason) == (code, "going")


@pytest.mark.parametrize("code", INVALID)
async def test_codes_that_may_not_be_sent_are_refused(site: Site, backend: Echo, code: int) -> None:
    """A code that nobody may send is answered with 1002, and the message before it is delivered."""
    name = f"invalid-{site.via}-{code}"
    async with opened(site, name) as peer:
        peer.send(frame("before"), closing(code, "going"))
        assert (await peer.closed()).code == 1002
        await peer.ends()
    seen = await backend.seen[name].ended()
    assert seen.messages == 1
    if site.via != "direct":
        assert seen.told == 1002


async def test_a_close_without_a_code(site: Site, backend: Echo) -> None:
    """A close frame without a code is answered, and the backend sees none either (section 7.1.5)."""
    name = f"none-{site.via}"
    async with opened(site, name) as peer:
        peer.send(frame(b"", CLOSE))
        assert (await peer.closed()).code in (1000, 1005)
        await peer.ends()
    assert (await backend.seen[name].ended()).told == 1005


async def test_a_close_of_one_byte_is_refused(site: Site, backend: Echo) -> None:
    """Half a code is answered with 1002."""
    name = f"half-{site.via}"
    async with opened(site, name) as peer:
        peer.send(frame(b"\x03", CLOSE))
        assert (await peer.closed()).code == 1002
        await peer.ends()
    seen = await backend.seen[name].ended()
    if site.via != "direct":
        assert seen.told == 1002


@pytest.mark.parametrize("reason", [b"\xff", b"caf\xc3", b"\xed\xa0\x80", b"\xc0\xaf"])
async def test_a_reason_that_is_no_utf8_is_refused(site: Site, backend: Echo, reason: bytes) -> None:
    """A reason that is no UTF-8 is answered with 1007 (section 5.5.1)."""
    name = f"reason-{site.via}-{reason.hex()}"
    async with opened(site, name) as peer:
        peer.send(closing(1000, reason))
        assert (await peer.closed()).code == 1007
        await peer.ends()
    seen = await backend.seen[name].ended()
    if site.via != "direct":
        assert seen.told == 1007


async def test_the_longest_reason_passes(site: Site, backend: Echo) -> None:
    """A reason of 123 bytes, which is all that a control frame has room for, reaches the backend."""
    name = f"longest-{site.via}"
    async with opened(site, name) as peer:
        peer.send(closing(4000, "é" * 61 + "x"))
        assert (await peer.closed()).code == 4000
        await peer.ends()
    assert (await backend.seen[name].ended()).reason == "é" * 61 + "x"


@pytest.mark.parametrize(
    "later",
    [frame("later"), frame(b"later", PING), closing(4000, "again"), b"\x00\xff garbage", wide(b"", TEXT, 8)],
    ids=["text", "ping", "close", "garbage", "broken"],
)
@pytest.mark.parametrize("together", [True, False], ids=["one-segment", "after-the-answer"])
async def test_what_comes_after_a_close_counts_nothing(site: Site, backend: Echo, later: bytes, together: bool) -> None:
    """What a client sends behind its close frame is neither delivered nor answered (section 5.5.1)."""
    name = f"after-{site.via}-{later.hex()[:20]}-{together}"
    async with opened(site, name) as peer:
        peer.send(closing(1000, "done"), later if together else b"")
        found = await peer.receive()
        assert (found.opcode, found.code) == (CLOSE, 1000)
        peer.send(later)
        await peer.ends()
    seen = await backend.seen[name].ended()
    assert (seen.messages, seen.told, seen.reason) == (0, 1000, "done")


async def test_messages_before_a_close_are_answered(site: Site, backend: Echo) -> None:
    """Messages in one segment with the close frame are delivered, and answered before the backend's close."""
    name = f"before-{site.via}"
    async with opened(site, name) as peer:
        peer.send(frame("one"), frame("two"))
        assert [(await peer.message()).payload for _ in range(2)] == [b"one", b"two"]
        peer.send(frame("three"), closing(1000))
        assert (await peer.closed()).code == 1000
        await peer.ends()
    assert (await backend.seen[name].ended()).messages == 3


async def test_a_close_comes_within_a_message(site: Site, backend: Echo) -> None:
    """A close frame between two fragments ends the connection, and the message is not delivered.

    RFC 6455 allows it (section 5.4); the backend answers with 1002 for the message that has no end.
    """
    name = f"within-{site.via}"
    async with opened(site, name) as peer:
        peer.send(frame("unfinished", fin=False), closing(1000))
        assert (await peer.closed()).code in ANSWERS_WITHIN.get(site.via, [1002])
        await peer.ends()
    assert (await backend.seen[name].ended()).messages == 0


async def test_a_close_comes_byte_by_byte(site: Site, backend: Echo) -> None:
    """A close frame passes in pieces of one byte."""
    name = f"bytewise-{site.via}"
    async with opened(site, name) as peer:
        await peer.send_in_pieces(*(bytes([byte]) for byte in closing(4321, "in pieces")))
        assert (await peer.closed()).code == 4321
        await peer.ends()
    seen = await backend.seen[name].ended()
    assert (seen.told, seen.reason) == (4321, "in pieces")


MIDDLES = {
    "between": b"",
    "header": frame(b"x" * 1_000)[:3],
    "payload": frame(b"x" * 1_000)[:500],
    "large-payload": frame(b"x" * 1_000_000)[:300_000],
    "fragments": frame("unfinished", fin=False),
}


@pytest.mark.parametrize("case", MIDDLES)
async def test_the_client_ends_writing(site: Site, backend: Echo, case: str) -> None:
    """A client that sends FIN without a close frame has the connection ended on both sides, and nothing delivered."""
    name = f"fin-{site.via}-{case}"
    async with opened(site, name) as peer:
        peer.send(frame("whole"), MIDDLES[case])
        assert (await peer.message()).payload == b"whole"
        if site.tls is None:
            peer.end_writing()
        else:
            peer.writer.close()
        await peer.ends()
        seen = await backend.seen[name].ended()
    assert (seen.messages, seen.told) == (1, None)


@pytest.mark.parametrize("case", MIDDLES)
async def test_the_client_resets(site: Site, backend: Echo, case: str) -> None:
    """A client that resets TCP has the backend's side ended, and nothing delivered of what was not whole."""
    name = f"rst-{site.via}-{case}"
    async with opened(site, name) as peer:
        peer.send(frame("whole"), MIDDLES[case])
        assert (await peer.message()).payload == b"whole"
        peer.reset()
        seen = await backend.seen[name].ended()
    assert (seen.messages, seen.told) == (1, None)


async def test_the_client_leaves_while_messages_flow(site: Site, backend: Echo) -> None:
    """A close frame behind megabytes in flight is answered, and everything before it was delivered."""
    name = f"flowing-{site.via}"
    payload = b"x" * 100_000
    async with opened(site, name) as peer:
        peer.send(*(frame(payload) for _ in range(50)), closing(1000))
        assert (await peer.closed()).code == 1000
        await peer.ends()
    assert (await backend.seen[name].ended()).messages == 50


async def test_a_ping_before_a_close_is_answered(site: Site) -> None:
    """A ping in one segment with the close frame may be answered, and nothing but that comes before the close."""
    async with opened(site) as peer:
        peer.send(frame(b"last", PING), closing(1000))
        found = await peer.receive()
        if found.opcode == PONG:
            assert found.payload == b"last"
            found = await peer.receive()
        assert (found.opcode, found.code) == (CLOSE, 1000)
        await peer.ends()


async def test_many_end_at_once(site: Site, backend: Echo) -> None:
    """Fifty connections that end in one moment, each in its own way, all end at the backend too."""
    ways = {f"many-{site.via}-{at}": at for at in range(50)}

    async def end(name: str, at: int) -> None:
        async with opened(site, name) as peer:
            peer.send(frame("whole"))
            assert (await peer.message()).payload == b"whole"
            if at % 5 == 0:
                peer.send(closing(1000))
            elif at % 5 == 1:
                peer.send(frame("unfinished", fin=False))
            elif at % 5 == 2:
                peer.send(frame(b"x", CONTINUATION))
            elif at % 5 == 3:
                peer.reset()
            if at % 5 in (0, 2):
                await peer.closed()

    async with asyncio.TaskGroup() as group:
        for name, at in ways.items():
            group.create_task(end(name, at))
    assert {(await backend.seen[name].ended()).messages for name in ways} == {1}
