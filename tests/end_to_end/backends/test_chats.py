"""What people do with a chat works straight and through the gateway alike, whatever library the chat is made with."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection

from tests.end_to_end.backends.reaching import WAYS, Door, new_room

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("via", WAYS),
    pytest.mark.parametrize("name", ["websockets", "ws", "channels"]),
]
PATIENCE = 10.0
"""Seconds after which silence fails a test."""


async def heard(socket: ClientConnection) -> str | bytes:
    """Return the next message."""
    async with asyncio.timeout(PATIENCE):
        return await socket.recv()


async def answer(socket: ClientConnection, message: str | bytes) -> str | bytes:
    """Send a message and return the next one."""
    await socket.send(message)
    return await heard(socket)


async def ended(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Return with which code and reason the other side closes."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


@pytest.mark.parametrize(
    "message",
    ["hello", "zoë ☃ 𝄞", '{"type":"hello"}', b"\x00\xff\xfe", "x" * 125, "x" * 126, b"y" * 65_535, b"z" * 65_536],
    ids=["text", "unicode", "json", "bytes", "125", "126", "65535", "65536"],
)
async def test_a_message_comes_back_as_it_is(door: Door, message: str | bytes) -> None:
    """Text stays text and bytes stay bytes, of every length that frames write differently."""
    async with door.connect(new_room()) as alice:
        assert await answer(alice, message) == message


@pytest.mark.parametrize("empty", ["", b""], ids=["text", "bytes"])
async def test_a_message_may_be_empty(door: Door, empty: str | bytes) -> None:
    """It arrives and comes back. Daphne takes it, and sends none itself."""
    async with door.connect(new_room()) as alice:
        await alice.send(empty)
        await alice.send("next")
        expected = ["next"] if door.backend.name == "channels" else [empty, "next"]
        assert [await heard(alice) for _ in expected] == expected


@pytest.mark.parametrize("size", [100_000, 1_000_000])
async def test_large_messages_pass(door: Door, size: int) -> None:
    """Up to the limit of the backend, text and binary, there and back."""
    async with door.connect(new_room()) as alice:
        text = "".join(str(number % 10) for number in range(size))
        assert await answer(alice, text) == text
        assert await answer(alice, text.encode()) == text.encode()


async def test_a_message_in_fragments_is_one_message(door: Door) -> None:
    """It is put together in the right order, also where a ping stands between its frames."""
    async with door.connect(new_room()) as alice:

        async def parts() -> AsyncGenerator[str]:
            yield "one "
            await (await alice.ping())
            yield "two "
            yield ""
            yield "three"

        await alice.send(parts())
        assert await heard(alice) == "one two three"
        await alice.send([b"\x01", b"\x02" * 70_000, b"\x03"])
        assert await heard(alice) == b"\x01" + b"\x02" * 70_000 + b"\x03"


async def test_a_long_answer_arrives_whole(door: Door) -> None:
    """A hundred frames, or one, of the backend: the client gets the whole message."""
    async with door.connect(new_room()) as alice:
        assert await answer(alice, "/long 100000") == "x" * 100_000
        assert await answer(alice, "next") == "next"


async def test_messages_keep_their_order(door: Door) -> None:
    """Five hundred messages, sent without waiting, come back one after the other."""
    sent = [f"{number} {'x' * (number * 37 % 400)}" for number in range(500)]
    async with door.connect(new_room()) as alice:

        async def send_all() -> None:
            for message in sent:
                await alice.send(message)

        async with asyncio.TaskGroup() as group:
            group.create_task(send_all())
            assert [await heard(alice) for _ in sent] == sent


async def test_pings_are_answered(door: Door) -> None:
    """A client's ping comes back as a pong with the same payload, before and after a message."""
    async with door.connect(new_room()) as alice, asyncio.timeout(PATIENCE):
        assert await (await alice.ping(b"one")) >= 0
        assert await answer(alice, "hello") == "hello"
        assert await (await alice.ping(b"x" * 125)) >= 0


async def test_the_backend_pings(door: Door) -> None:
    """A backend that pings its client gets the pong. Channels has no way to ask daphne for one."""
    async with door.connect(new_room()) as alice:
        assert await answer(alice, "/ping") == ("pong" if door.backend.name != "channels" else "/ping")


async def test_people_in_a_room_hear_each_other(door: Door) -> None:
    """What Alice says reaches Bob in the same room and nobody in another one."""
    room = new_room()
    async with door.connect(room) as alice, door.connect(room, "bob") as bob, door.connect(new_room(), "bob") as away:
        assert await answer(alice, "/say hello") == "hello"
        assert await answer(bob, "/say hello yourself") == "hello"
        assert await heard(bob) == await heard(alice) == "hello yourself"
        assert await answer(away, "anybody?") == "anybody?"


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (3500, "moved to ☃"), (4001, "kicked out"), (4999, "")])
async def test_the_backend_closes(door: Door, code: int, reason: str) -> None:
    """Code and reason of the backend reach the client. Daphne sends no reason."""
    async with door.connect(new_room()) as alice:
        await alice.send(f"/close {code} {reason}")
        assert await ended(alice) == (code, reason if door.backend.reasons else "")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going away"), (3500, "bye ☃"), (4002, "bye")])
async def test_the_client_closes(door: Door, code: int, reason: str) -> None:
    """Code and reason of the client reach the backend, and through it the others in the room."""
    room = new_room()
    async with door.connect(room) as alice, door.connect(room, "bob") as bob:
        assert await answer(bob, "here") == "here"
        await alice.close(code, reason)
        assert await heard(bob) == f"left {code} {reason if door.backend.reasons else ''}".rstrip()


async def test_a_client_that_vanishes_has_left(door: Door) -> None:
    """Its TCP connection ends without a close frame; the backend hears of it at once."""
    room = new_room()
    async with door.connect(room) as alice, door.connect(room, "bob") as bob:
        assert await answer(bob, "here") == "here"
        alice.transport.abort()
        assert await heard(bob) == "left 1006"


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ((), None),
        (("chat.v1",), "chat.v1"),
        (("soap", "chat.v1", "chat.v2"), "chat.v2"),
        (("soap",), None),
    ],
    ids=["none", "one", "best", "unknown"],
)
async def test_the_backend_chooses_the_subprotocol(door: Door, offers: tuple[str, ...], chosen: str | None) -> None:
    """Its choice is the answer, and what it does not know is not chosen."""
    async with door.connect(new_room(), offers=offers) as alice:
        assert alice.subprotocol == chosen
        assert await answer(alice, "hello") == "hello"


async def test_the_backend_sees_path_and_query(door: Door) -> None:
    """They arrive as they were sent."""
    room = new_room()
    async with door.connect(room, query="?b=%20+&a=1&a=2&empty=") as alice:
        seen = json.loads(await answer(alice, "/head"))
    assert seen["target"] == door.backend.path.replace("*", f"{room}/?b=%20+&a=1&a=2&empty=")
