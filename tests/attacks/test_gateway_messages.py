"""Messages of a client that speaks wsauth, through the gateway: what is taken, what passes, and what waits, in order.

However a message is spelled, fragmented and cut by TCP: nothing from before `auth_success` reaches the upstream,
nothing after it is lost or comes in another order, and no credential is ever passed on.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.attacks.gateway import SPEAKS, Head, Site, Upstream, auth, gateway
from tests.attacks.wire import BINARY, CLOSE, PING, PONG, TEXT, Wire, frame, request, wire
from tests.wsauth_sockets import eventually

CONFIG = """
[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{echo}"
max_message = "256KiB"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{played}"
max_message = "256KiB"

[[routes]]
path = "/brief"
upstream = "ws://127.0.0.1:{played}"
grace = "2s"
"""
CONT = 0
LIMIT = 16_384
"""Bytes up to which a text may be an `auth` message, and up to which messages wait."""
CONNECTIONS = 500
AT_ONCE = 25
MESSAGES = 30


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("messages"), CONFIG) as found:
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client."""
    running.played.forget()
    running.echo.delivered.clear()
    yield running
    await running.serves_the_next()
    assert "Traceback" not in running.serving.output()


# However it is written.


def spelled(draw: random.Random, members: Sequence[tuple[str, str]]) -> str:
    """Return a JSON object with these members in any order, with any white space and any escapes."""
    more: list[tuple[str, str]] = [("room", '{"a":[1,null,"}"]}'), ("n", "-1.5e3"), ("é", '"\\ud83d\\ude00{"')]
    pairs = [(key, json.dumps(value)) for key, value in members] + draw.sample(more, draw.randint(0, 3))
    draw.shuffle(pairs)

    def blank() -> str:
        return "".join(draw.choices(" \t\r\n", k=draw.choice((0, 0, 1, 3))))

    def escaped(text: str) -> str:
        return "".join(f"\\u{ord(each):04x}" if each.isalnum() and draw.random() < 0.2 else each for each in text)

    parts = []
    for key, value in pairs:
        plain = value.startswith('"') and "\\" not in value
        parts.append(f'{blank()}"{escaped(key)}"{blank()}:{blank()}{escaped(value) if plain else value}{blank()}')
    return f"{blank()}{{{','.join(parts)}}}{blank()}"


def fragmented(draw: random.Random, payload: bytes, opcode: int) -> list[bytes]:
    """Return a message as frames, whole or in fragments, with pings and pongs between them."""
    frames: list[bytes] = []
    pieces = draw.choice((1, 1, 2, 5)) if len(payload) < 500 else draw.choice((1, 3))
    cuts = sorted(draw.randint(0, len(payload)) for _ in range(pieces - 1))
    for at, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(payload)], strict=True)):
        frames.append(frame(payload[start:end], CONT if at else opcode, fin=end == len(payload) and at == len(cuts)))
        if draw.random() < 0.15:
            frames.append(frame(draw.randbytes(draw.randint(0, 9)), draw.choice((PING, PONG))))
    return frames


async def scattered(draw: random.Random, client: Wire, data: bytes) -> None:
    """Send bytes in segments of any size, some of which arrive together."""
    at = 0
    largest = draw.choice((3, 40, 700, len(data)))
    while at < len(data):
        size = max(draw.randint(1, largest), len(data) // 300)
        client.send(data[at : at + size])
        at += size
        await asyncio.sleep(0 if draw.random() < 0.9 else 0.001)


def words(draw: random.Random, name: str, number: int) -> str | bytes:
    """Return one message of an application; many look a little like wsauth's."""
    text = draw.choice(
        (
            f"{name} {number}",
            f'{{"type":"chat","n":{number},"by":"{name}"}}',
            f'{{"type":"auth","n":{number},"by":"{name}"}}',
            f'{{"type":"authentic","token":"{number}","by":"{name}"}}',
            f'[{{"type":"auth","token":"{name} {number}"}}]',
            f'{{"by":"{name} {number}","x":"' + "{" * draw.randint(0, 3_000),
            f"{name} {number} " + "é" * draw.randint(0, 40_000),
            "",
        )
    )
    return text if draw.random() < 0.8 else text.encode()


async def converse(site: Site, seed: int) -> None:
    """Be one client: send everything at once, a token first and a newer one in the middle, and check all answers."""
    draw = random.Random(seed)
    name = f"client-{seed}"
    first, newer = site.token(name, ago=30), site.token(name)
    messages = [words(draw, name, number) for number in range(MESSAGES)]
    frames = fragmented(draw, spelled(draw, [("type", "auth"), ("token", first)]).encode(), TEXT)
    renewal = draw.randrange(MESSAGES)
    for number, message in enumerate(messages):
        if number == renewal:
            frames += fragmented(draw, spelled(draw, [("type", "auth"), ("token", newer)]).encode(), TEXT)
        text = isinstance(message, str)
        frames += fragmented(draw, message.encode() if isinstance(message, str) else message, TEXT if text else BINARY)
    async with wire(site.port, request("/ws")) as client:
        assert (await client.answer()).status == 101
        sending = asyncio.create_task(scattered(draw, client, b"".join(frames)))
        await client.message("auth_required")
        await client.message("auth_success", within=30)
        renewed = 0
        got: list[bytes] = []
        while len(got) < MESSAGES or not renewed:
            found = await client.frame(within=30)
            assert found is not None, f"seed {seed}: TCP ended"
            assert found.opcode != CLOSE, f"seed {seed}: {found.close_code} {found.reason}"
            if found.opcode == TEXT and found.payload.startswith(b'{"type":"auth_success"'):
                renewed += 1
            elif found.opcode in (TEXT, BINARY):
                got.append(found.payload)
        await sending
    sent = [f"{name}: {each}".encode() if isinstance(each, str) else each for each in messages]
    assert got == sent, f"seed {seed}"
    assert renewed == 1, f"seed {seed}"


async def test_five_hundred_clients_that_send_all_at_once_are_answered_in_order(site: Site) -> None:
    """A token, thirty messages and a renewal among them, however spelled, fragmented and cut: nothing is lost."""
    seeds = iter(range(CONNECTIONS))

    async def some() -> None:
        for seed in seeds:
            await converse(site, seed)

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(some())
    assert len(site.echo.delivered) == CONNECTIONS * MESSAGES
    assert [each for each in site.echo.delivered if isinstance(each, str) and "eyJ" in each] == []


SPELLINGS = {
    "as usual": '{{"type":"auth","token":"{0}"}}',
    "the other order": '{{"token":"{0}","type":"auth"}}',
    "white space": ' \r\n\t{{ "token" :\n"{0}" , "type"\t: "auth" }}\r\n ',
    "an escape in the type": '{{"type":"\\u0061uth","token":"{0}"}}',
    "an escape in a name": '{{"t\\u0079pe":"auth","\\u0074oken":"{0}"}}',
    "all escapes": '{{"\\u0074\\u0079\\u0070\\u0065":"\\u0061\\u0075\\u0074\\u0068","token":"{0}"}}',
    "members of its own": '{{"a":{{"type":"chat"}},"type":"auth","b":[1e5,true],"token":"{0}","type2":"chat"}}',
    "far behind": '{{"x":"{1}","type":"auth","token":"{0}"}}',
}
CUTS = [0, 1, 7, 1_000]


@pytest.mark.parametrize("size", CUTS, ids=["whole", "bytes", "sevens", "thousands"])
@pytest.mark.parametrize("name", SPELLINGS)
async def test_a_renewal_is_taken_however_it_is_written_and_never_passed_on(site: Site, name: str, size: int) -> None:
    """In one frame or in thousands, with pings between: it renews, and the upstream gets what is around it."""
    token = site.token()
    text = SPELLINGS[name].format(token, "x" * 3_000).encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)] if size else [text]
    frames = [
        frame(piece, CONT if at else TEXT, fin=at == len(pieces) - 1) + (frame(b"?", PING) if at % 50 == 1 else b"")
        for at, piece in enumerate(pieces)
    ]
    async with site.speaking(ago=30) as alice:
        alice.send(frame("before"), *frames, frame("behind"))
        heard = [await alice.text() for _ in range(3)]
    assert [each for each in heard if "auth_success" not in each] == ["alice: before", "alice: behind"]
    assert site.echo.delivered == ["before", "behind"]


DOUBLED = {
    "a token": '{{"type":"auth","token":"{0}","token":"{0}"}}',
    "a token, by an escape": '{{"type":"auth","token":"{0}","\\u0074oken":"{0}"}}',
    "a type": '{{"type":"auth","type":"auth","token":"{0}"}}',
    "a type of the application's first": '{{"type":"chat","type":"auth","token":"{0}"}}',
    "another member": '{{"type":"auth","token":"{0}","x":1,"x":2}}',
    "a token and a ticket": '{{"type":"auth","token":"{0}","ticket":"x"}}',
    "deep": '{{"type":"auth","token":"{0}","x":' + "[" * 7_000 + "]" * 7_000 + "}}",
}


@pytest.mark.parametrize("name", DOUBLED)
async def test_a_renewal_that_can_be_read_in_two_ways_is_refused_and_not_passed_on(site: Site, name: str) -> None:
    """It costs an attempt and renews nothing; the upstream does not get it either."""
    async with site.speaking(ago=30) as alice:
        alice.send(frame(DOUBLED[name].format(site.token())), frame("behind"))
        error = await alice.message("auth_error")
        assert error["code"] in ("credentials_invalid", "credentials_ambiguous")
        assert (error["closing"], error["attempts_left"]) == (False, 2)
        await site.told(error)
        assert await alice.text() == "alice: behind"
    assert site.echo.delivered == ["behind"]


# However long it is.


def padded(token: str, size: int) -> bytes:
    """Return an `auth` message of so many bytes."""
    text = json.dumps({"type": "auth", "token": token, "x": ""})
    return text.replace('"x": ""', f'"x": "{"y" * (size - len(text))}"').encode()


@pytest.mark.parametrize("pieces", [1, 2, LIMIT], ids=["whole", "two", "bytes"])
async def test_exactly_16_kib_may_be_an_auth_message(site: Site, pieces: int) -> None:
    """The payload counts, not the frames around it: at the limit a credential is taken, and never passed on."""
    whole = padded(site.token(), LIMIT)
    assert len(whole) == LIMIT
    step = LIMIT // pieces
    frames = [
        frame(whole[at : at + step], CONT if at else TEXT, fin=at + step >= LIMIT) for at in range(0, LIMIT, step)
    ]
    async with site.speaking(ago=30) as alice:
        alice.send(*frames, frame("behind"))
        heard = {await alice.text(within=20) for _ in range(2)}
    assert "alice: behind" in heard
    assert any("auth_success" in each for each in heard)
    assert site.echo.delivered == ["behind"]


@pytest.mark.parametrize("pieces", [1, 2, 4_000], ids=["whole", "two", "many"])
async def test_one_byte_more_is_the_applications(site: Site, pieces: int) -> None:
    """A longer text passes byte for byte, whatever it says, and nothing is renewed."""
    whole = json.dumps({"type": "auth", "token": "no token of anybody", "x": "y" * LIMIT}).encode()[: LIMIT + 1]
    step = -(-len(whole) // pieces)
    frames = [
        frame(whole[at : at + step], CONT if at else TEXT, fin=at + step >= len(whole))
        for at in range(0, len(whole), step)
    ]
    async with site.speaking() as alice:
        alice.send(*frames, frame("behind"))
        assert await alice.text(within=20) == f"alice: {whole.decode()}"
        assert await alice.text() == "alice: behind"


@pytest.mark.parametrize("size", [LIMIT - 9, LIMIT - 1, LIMIT, LIMIT + 1, 65_535, 65_536, 200_000])
async def test_a_long_message_that_begins_like_json_passes_as_it_is(site: Site, size: int) -> None:
    """`{` alone makes nothing wsauth's, at whatever length."""
    text = '{"type":"chat","text":"' + "x" * (size - 25) + '"}'
    assert len(text) == size
    async with site.speaking() as alice:
        alice.send(frame(text), frame("behind"))
        assert await alice.text() == f"alice: {text}"
        assert await alice.text() == "alice: behind"


async def test_a_message_whose_fragments_hold_next_to_nothing_ends_it(site: Site) -> None:
    """What could be a credential is not kept without bound: mostly empty fragments end with 1008, and none passes."""
    token = padded(site.token(), 1_000)
    empty = frame("", CONT, fin=False)
    frames = [frame(token[:1], TEXT, fin=False)]
    for at in range(1, 900):
        frames += [empty] * 100 + [frame(token[at : at + 1], CONT, fin=False)]
    async with site.speaking("/played") as mallory:
        upstream = await site.played.end()
        mallory.send(*frames)
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1008, "request_invalid")
        await site.told(end)
        told = await upstream.receive()
        assert (told.opcode, told.code) == (CLOSE, 1008)


# While the lease has ended.


async def stale(client: Wire) -> None:
    """Wait until the lease has ended."""
    error = await client.message("auth_error", within=10)
    assert (error["code"], error["closing"]) == ("token_expired", False)


async def test_what_comes_while_the_lease_has_ended_waits_and_passes_in_order(site: Site) -> None:
    """Messages of both sides, with pings and fragments, stand still; after the renewal all of them come."""
    async with site.speaking("/played", ttl=1.5) as alice:
        upstream = await site.played.end()
        await stale(alice)
        said = [f"waits {number} " + "x" * 1_000 for number in range(12)]
        alice.send(*(frame(each) for each in said[:6]), frame("frag", TEXT, fin=False), frame(b"?", PING))
        alice.send(frame("mented", CONT), *(frame(each) for each in said[6:]), frame(b"binary"))
        upstream.send(*(frame(f"down {number}", masked=False) for number in range(500)))
        pong = await alice.frame()
        assert pong is not None
        assert (pong.opcode, pong.payload) == (PONG, b"?")
        with pytest.raises(TimeoutError):
            await alice.frame(within=0.3)
        assert len(upstream.reader._buffer) == 0  # type: ignore[attr-defined]  # nothing has come, not even in part
        alice.send(auth(token=site.token()))
        await alice.message("auth_success")
        assert [await alice.text() for _ in range(500)] == [f"down {number}" for number in range(500)]
        got = [(await messages(upstream)) for _ in range(14)]
        assert got == [*said[:6], "fragmented", *said[6:], "binary"]


async def messages(upstream: Upstream) -> str:
    """Return the next message that came to the upstream, from all its fragments."""
    whole = b""
    while True:
        found = await upstream.receive()
        if found.opcode in (PING, PONG):
            continue
        assert found.opcode != CLOSE, found
        whole += found.payload
        if found.final:
            return whole.decode()


async def test_more_than_16_kib_is_not_read_and_ends_with_the_grace(site: Site) -> None:
    """A client that sends on instead of renewing is held back; then 3000 on both sides, and nothing has passed."""
    async with site.speaking("/brief", ttl=1.5) as mallory:
        upstream = await site.played.end()
        await stale(mallory)
        began = time.monotonic()
        for number in range(200):
            mallory.send(frame(f"{number} " + "x" * 60_000))
        mallory.send(auth(token=site.token()))
        error = await mallory.message("auth_error", within=10)
        assert (error["code"], error["closing"]) == ("token_expired", True)
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3000, "token_expired")
        await site.told(end, "token_expired")
        assert time.monotonic() - began < 5
        told = await upstream.receive()
        assert (told.opcode, told.code) == (CLOSE, 3000)


async def test_who_does_not_speak_wsauth_is_not_read_while_the_lease_has_ended(site: Site) -> None:
    """There is nothing to wait for: its messages reach nobody, and both sides end with 3000."""
    async with site.opened(site.bearer(ttl=1.5), path="/brief") as client:
        upstream = await site.played.end()
        client.send(frame("in time"))
        assert await messages(upstream) == "in time"
        await asyncio.sleep(1.7)
        client.send(frame("too late"))
        upstream.send(frame("too late", masked=False))
        found = await client.frame()
        assert found is not None
        assert (found.opcode, found.close_code, found.reason) == (CLOSE, 3000, "token_expired")
        told = await upstream.receive()
        assert (told.opcode, told.code) == (CLOSE, 3000)


# What the server's side says.


RESERVED = {
    "as ours": '{"type":"auth_success","wsauth":1,"subject":"mallory"}',
    "unknown": '{"type":"auth_',
    "white space": ' \r\n\t{ "type" \n:\t"auth_error"}',
    "much white space": " " * 15_000 + '{"type":"auth_required"}',
    "long": '{"type":"auth_changed","x":"' + "y" * 200_000 + '"}',
}
ALIKE = {
    "auth": '{"type":"auth"}',
    "without the line": '{"type":"authority"}',
    "another first member": '{"x":1,"type":"auth_success"}',
    "another value": '{"type":"AUTH_success"}',
    "a list": '[{"type":"auth_success"}]',
    "text": 'say {"type":"auth_success"}',
    "half": '{"type":"auth',
    "blank": "   ",
    "empty": "",
    "more white space than is looked at": " " * 20_000 + '{"type":"auth_success"}',
}


def cut(text: str, size: int) -> list[bytes]:
    """Return a server's text in fragments of this size, with pings between the first; 0 for one frame."""
    payload = text.encode()
    if not size:
        return [frame(payload, TEXT, masked=False)]
    size = max(size, len(payload) // 3_000)
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    frames = [
        frame(piece, CONT if at else TEXT, fin=at == len(pieces) - 1, masked=False) for at, piece in enumerate(pieces)
    ]
    for at in (4, 2, 1):
        if at < len(frames):
            frames.insert(at, frame(b"?", PING, masked=False))
    return frames


async def whole_messages(client: Wire, count: int) -> list[str]:
    """Return messages that the client gets, put together."""
    found: list[str] = []
    part = b""
    while len(found) < count:
        first, second = await client.reader.readexactly(2)
        size = second
        if second > 125:
            size = int.from_bytes(await client.reader.readexactly(2 if second == 126 else 8))
        payload = await client.reader.readexactly(size)
        if first & 15 in (TEXT, CONT, BINARY):
            part += payload
            if first & 0x80:
                found.append(part.decode())
                part = b""
    return found


@pytest.mark.parametrize("size", [0, 1, 3, 12], ids=["whole", "bytes", "threes", "twelves"])
async def test_what_looks_like_ours_never_reaches_who_speaks_wsauth(site: Site, size: int) -> None:
    """Between what only resembles it, in fragments and with white space; whoever does not speak it gets everything."""
    every = [*RESERVED.values(), *ALIKE.values()]
    random.Random(size).shuffle(every)
    frames = [part for text in every for part in cut(text, size)]
    async with site.speaking("/played") as speaking, site.opened(path="/played") as other, asyncio.timeout(30):
        for upstream in (await site.played.end(), await site.played.end()):
            await scattered(random.Random(size), upstream, b"".join(frames))  # type: ignore[arg-type]  # it has `send`
            upstream.send(frame("the end", masked=False))
        passed = [text for text in every if text not in RESERVED.values()]
        assert await whole_messages(speaking, len(passed) + 1) == [*passed, "the end"]
        assert await whole_messages(other, len(every) + 1) == [*every, "the end"]


async def test_binary_of_the_upstream_is_never_looked_at(site: Site) -> None:
    """Control messages are texts: the same bytes as binary are the application's."""
    text = RESERVED["as ours"]
    async with site.speaking("/played") as alice:
        (await site.played.end()).send(frame(text.encode(), BINARY, masked=False))
        found = await alice.frame()
        assert found is not None
        assert (found.opcode, found.payload) == (BINARY, text.encode())


async def test_a_control_message_waits_for_the_end_of_the_upstreams_message(site: Site) -> None:
    """`auth_success` stands between two messages, however long the one under way takes."""
    async with site.speaking("/played", ago=30) as alice:
        upstream = await site.played.end()
        upstream.send(frame("under", TEXT, fin=False, masked=False), frame("way " * 100, CONT, masked=False)[:50])
        first = await alice.frame()
        assert first is not None
        alice.send(auth(token=site.token()), frame("behind"))
        assert await messages(upstream) == "behind"
        rest = frame("way " * 100, CONT, masked=False)[50:]
        upstream.send(rest[:100])
        await asyncio.sleep(0.2)
        upstream.send(rest[100:], frame("next", masked=False))
        second = await alice.frame()
        assert second is not None
        assert second.payload == b"way " * 100
        heard = [await alice.text() for _ in range(2)]
        assert [("auth_success" in each) for each in heard].count(True) == 1
        assert "next" in heard


async def test_nothing_from_before_auth_success_reaches_the_upstream(site: Site) -> None:
    """Wrong tokens and what costs attempts are ours; the upstream's connection begins with what came behind."""
    async with site.pending("/played") as alice:
        alice.send(auth(token=site.forged()), frame("too early"), frame(b"?", PING), auth(token=site.token()))
        alice.send(frame("in time"), frame(b"?", PING))
        upstream = await site.played.end()
        assert await messages(upstream) == "in time"
        assert (await upstream.receive()).opcode == PING
        heads: list[Head] = site.played.heads
        assert [head.one("x-wsauth-subject") for head in heads] == ["alice"]

        async def codes() -> bool:
            return site.serving.output().count("credentials_missing") > 0

        assert await eventually(codes)


async def test_a_client_that_only_presented_a_token_has_its_messages_untouched(site: Site) -> None:
    """Who did not offer `wsauth.v1` and did not authenticate by a message may say `auth` to its application."""
    token = site.token()
    said = [SPELLINGS["as usual"].format("an application's own"), '{"type":"auth","username":"x","password":"y"}']
    async with wire(site.port, request("/ws", f"Authorization: Bearer {token}")) as alice:
        assert (await alice.answer()).status == 101
        alice.send(*(frame(each) for each in said))
        assert [await alice.text() for _ in said] == [f"alice: {each}" for each in said]
    assert SPEAKS.endswith("wsauth.v1")
