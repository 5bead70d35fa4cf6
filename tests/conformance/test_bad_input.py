"""Bad input on every server: each has a clear answer, nothing is left hanging, and others go on talking."""

import asyncio
import json
import resource
import time
from contextlib import suppress

import pytest

from tests.conformance.client import Site, eventually, token
from tests.conformance.differences import STAYS
from tests.conformance.raw import Raw, frame, raw

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
CROWD = 2_000


async def _pending(peer: Raw, path: str = "/echo") -> None:
    await peer.upgrade(path, {})
    assert await peer.status() == 101
    _, required = await peer.receive()
    assert json.loads(required)["type"] == "auth_required"


async def _open(peer: Raw, subject: str, path: str = "/echo") -> None:
    await peer.upgrade(path, {"Authorization": f"Bearer {token(subject)}"})
    assert await peer.status() == 101


async def _others_talk(site: Site, subject: str) -> None:
    async with site.open(token=token(subject)) as socket:
        assert await socket.ask("hello") == "hello"


@pytest.mark.parametrize("size", [9_000, 70_000])
async def test_long_header(chat: Site, bob: str, size: int) -> None:
    """A header that is far too long has an answer wherever the server lets wsauth, or itself, give one."""
    expected = chat.difference.heads[size > 9_000]
    async with raw(chat) as peer:
        await peer.upgrade("/echo", {"Authorization": f"Bearer {'x' * size}"})
        if expected is None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await peer.status()
        else:
            assert await peer.status() == expected
    await _others_talk(chat, bob)


async def test_large_first_message(chat: Site) -> None:
    """A first message of a megabyte closes with 1009."""
    async with raw(chat) as peer:
        await _pending(peer)
        await peer.write(frame(TEXT, b"x" * 1_000_000))
        _, error = await peer.receive()
        assert json.loads(error)["code"] == "message_too_large"
        assert await peer.close_code() == 1009


@pytest.mark.parametrize("known", [False, True], ids=["pending", "open"])
@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"\xff\xfe"),
        b"\x81\x05hello",
        b"\xf1\x80\x00\x00\x00\x00",
        frame(PING, b"x" * 126),
        frame(PING, b"", final=False),
        frame(CONTINUATION, b"x"),
        frame(3, b"x"),
        frame(CLOSE, b"\x03"),
    ],
    ids=["utf-8", "unmasked", "reserved-bits", "long-ping", "split-ping", "continuation", "opcode", "close"],
)
async def test_broken_frame(chat: Site, alice: str, data: bytes, known: bool) -> None:
    """A frame that RFC 6455 forbids ends the connection at once, by the server's own close frame or the end of TCP."""
    async with raw(chat) as peer:
        await (_open(peer, alice) if known else _pending(peer))
        await peer.write(data)
        assert await peer.close_code() in {0, 1000, 1002, 1005, 1007}
        with suppress(ConnectionError):
            await peer.write(frame(CLOSE, b"\x03\xe8"))
        await peer.ended()
    if known:
        await chat.sees(alice, "Closed")


async def test_deep_json(chat: Site, alice: str) -> None:
    """Nested far too deeply, what may be a credential is a wrong one, and any other message passes as it is."""
    deep = "[" * 7_000
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.say(f'{{"type":"auth","token":{deep}')
        await socket.hears("auth_error", code="credentials_invalid", closing=False)
        await socket.auth(token(alice))
        await socket.hears("auth_success")
        assert await socket.ask(deep) == deep
        await socket.say(f'{{"type":"auth","token":{deep}')
        await socket.hears("auth_error", code="credentials_invalid", closing=False)
        assert await socket.ask("hello") == "hello"


async def test_auth_in_fragments(chat: Site, alice: str) -> None:
    """A control message in fragments, with a ping between them, is one message."""
    message = json.dumps({"token": token(alice), "type": "auth"}).encode()
    async with raw(chat) as peer:
        await _pending(peer)
        await peer.write(frame(TEXT, message[:5], final=False))
        await peer.write(frame(CONTINUATION, message[5:50], final=False) + frame(PING, b"?"))
        await peer.write(frame(CONTINUATION, b"", final=False) + frame(CONTINUATION, message[50:]))
        opcode, answer = await peer.receive()
        if opcode == PONG:
            opcode, answer = await peer.receive()
        assert (opcode, json.loads(answer)["type"]) == (TEXT, "auth_success")


async def test_crowd_that_says_nothing(chat: Site, alice: str) -> None:
    """Two thousand clients that say nothing are all closed with 3008, while Alice goes on talking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, CROWD * 2)), hard))
    before = await chat.control("count")
    codes: list[int] = []

    async def nobody() -> None:
        async with raw(chat) as peer:
            await _pending(peer, "/hurried")
            codes.append(await peer.close_code())

    async with chat.open(token=token(alice)) as socket, asyncio.TaskGroup() as crowd:
        began = time.monotonic()
        for number in range(CROWD):
            crowd.create_task(nobody())
            if number % 100 == 0:
                assert await socket.ask(f"{number}") == f"{number}"
        while len(codes) < CROWD and time.monotonic() - began < 60:
            assert await socket.ask("still") == "still"
            await asyncio.sleep(0.1)
    unread = codes.count(0) if chat.difference.resets else 0
    assert codes.count(3008) + unread == len(codes) == CROWD
    assert unread < CROWD // 100
    await chat.forgets(before)


async def test_client_that_does_not_read(chat: Site, alice: str) -> None:
    """A client that stopped reading is cut when it is revoked, where the server can cut; else that is told."""
    async with raw(chat) as peer:
        await _open(peer, alice)
        peer.read(False)
        await peer.write(frame(TEXT, b"flood 0.001"))
        await _stuck(chat, alice)
        report = await chat.control("revoke", subject=alice)
        assert report["matched"] == 1
        assert (report["closed"], report["cut"], report["complete"]) == chat.difference.stuck
        if chat.difference.stuck != STAYS:
            await chat.sees(alice, "OSError")
        peer.read(True)
        await peer.ended()
    await chat.sees(alice, "OSError")


async def _stuck(site: Site, subject: str) -> None:
    """Wait until what the application writes to somebody does not get any further, or would never stop."""
    last = -1

    async def still() -> bool:
        nonlocal last
        last, before = await site.control("written", subject=subject), last
        await asyncio.sleep(0.3)
        return bool(last == before or last > 500)

    await eventually(still)


@pytest.mark.parametrize("known", [False, True], ids=["pending", "open"])
async def test_client_that_ignores_our_close(chat: Site, alice: str, known: bool) -> None:
    """TCP is gone a few seconds after our close frame, whether the client answers it or not."""
    before = await chat.control("count")
    async with raw(chat) as peer:
        if known:
            await _open(peer, alice)
            await chat.control("disconnect", subject=alice)
            assert await peer.close_code() == 3003
        else:
            await _pending(peer)
            await peer.write(frame(BINARY, b"x"))
            assert await peer.close_code() == 1003
        await peer.ended()
    await chat.forgets(before)


@pytest.mark.parametrize("in_band", [False, True], ids=["header", "in-band"])
async def test_reset_during_verification(chat: Site, mallory: str, bob: str, in_band: bool) -> None:
    """A client that resets TCP while its credentials are verified leaves nothing behind."""
    before = await chat.control("count")
    async with raw(chat) as peer:
        if in_band:
            await _pending(peer)
            await peer.write(frame(TEXT, json.dumps({"type": "auth", "token": f"slow-1-{mallory}"}).encode()))
        else:
            await peer.upgrade("/echo", {"Authorization": f"Bearer slow-1-{mallory}"})
        await _others_talk(chat, bob)
        peer.reset()
    await chat.forgets(before)
    await _others_talk(chat, bob)


async def test_half_closed_client(chat: Site, alice: str) -> None:
    """A client that ends its side of TCP without a close frame is gone."""
    before = await chat.control("count")
    async with raw(chat) as peer:
        await _open(peer, alice)
        peer.writer.write_eof()
        await peer.ended()
    await chat.sees(alice, "Closed")
    await chat.forgets(before)


async def test_head_that_never_ends(chat: Site, bob: str) -> None:
    """Half a handshake keeps nobody from talking."""
    async with raw(chat) as peer:
        await peer.write(b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nX: ")
        await _others_talk(chat, bob)


async def test_nothing_went_wrong(chat: Site) -> None:
    """After all of that the guard is empty and no task ended with an exception that nobody took."""
    await chat.forgets(0)
    output = chat.running.output()
    for sign in ("was never retrieved", "was never awaited", "wsauth.errors.ProtocolError", "never yielded"):
        assert sign not in output
