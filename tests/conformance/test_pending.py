"""CONTRACT section 6, "Pending": before anybody is known."""

import asyncio
import json
from typing import Any

import pytest

from tests.apps.guarding import COOKIE
from tests.conformance.client import Site, token


async def test_wrong_credentials_cost_attempts(chat: Site, mallory: str) -> None:
    """Two wrong credentials are forgiven, the third closes with 3000."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        for left in (2, 1):
            await socket.auth(token(mallory) + "x")
            error = await socket.hears("auth_error", code="token_invalid", closing=False, attempts_left=left)
            assert len(error["id"]) == 12
        await socket.auth(token(mallory) + "x")
        await socket.hears("auth_error", code="too_many_attempts", action="login", closing=True)
        await socket.closed(3000, "too_many_attempts;id=")


async def test_right_credentials_after_wrong_ones(chat: Site, alice: str) -> None:
    """Alice may mistype twice; then she is in."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        for presented in ("not-a-token", token(alice, ttl=-5, age=60)):
            await socket.auth(presented)
            await socket.hears("auth_error", closing=False)
        await socket.auth(token(alice))
        await socket.hears("auth_success", subject=alice)


@pytest.mark.parametrize("message", ["hello", "{}", '{"type":"auth"}', "[1]", "null", '{"type":"subscribe"}'])
async def test_other_messages_are_dropped(chat: Site, alice: str, message: str) -> None:
    """What comes before authentication and is none costs an attempt and reaches nobody."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.say(message)
        await socket.hears("auth_error", code="credentials_missing", closing=False, attempts_left=2)
        await socket.auth(token(alice))
        await socket.hears("auth_success")
        assert await socket.ask("first") == "first"


async def test_binary_message(chat: Site) -> None:
    """A binary message before authentication closes with 1003."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.say(b"\x00\x01")
        await socket.hears("auth_error", code="message_unsupported", closing=True)
        await socket.closed(1003, "message_unsupported;id=")


async def test_messages_wait_for_the_verification(chat: Site, alice: str) -> None:
    """What follows a credential that is being verified waits, and passes in order."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.auth(f"slow-0.5-{alice}")
        for number in range(20):
            await socket.say(f"message {number}")
        await socket.hears("auth_success", subject=alice)
        assert [await socket.hear() for _ in range(20)] == [f"message {number}" for number in range(20)]


async def test_more_than_is_held_waits_in_the_wire(chat: Site, alice: str) -> None:
    """Beyond 16 KiB reading stops; nothing is lost or out of order."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.auth(f"slow-0.5-{alice}")
        sent = [f"{number} {'x' * 10_000}" for number in range(10)]
        for message in sent:
            await socket.say(message)
        await socket.hears("auth_success", subject=alice)
        assert [await socket.hear() for _ in sent] == sent


async def test_nothing_is_lost_behind_a_renewal_that_is_known(chat: Site, alice: str) -> None:
    """A renewal that waited and needs no verification takes nothing away from what waited behind it."""
    known = token(alice, age=1)
    async with chat.open(token=known) as socket:
        assert await socket.ask("hello") == "hello"
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.auth(f"slow-0.5-{alice}")
        await socket.auth(known)
        for number in range(3):
            await socket.say(f"message {number}")
        heard = [await socket.hear() for _ in range(5)]
        assert [one["type"] for one in heard if isinstance(one, dict)] == ["auth_success"] * 2
        assert [one for one in heard if isinstance(one, str)] == [f"message {number}" for number in range(3)]


@pytest.mark.parametrize("cookie", ["", f"other={COOKIE}"])
async def test_deadline(chat: Site, cookie: str) -> None:
    """Who says nothing is closed with 3008 at auth_timeout."""
    async with chat.open("/hurried", headers={"Cookie": cookie} if cookie else {}) as socket:
        await socket.hears("auth_required", timeout=1)
        await socket.hears("auth_error", code="auth_timeout", action="retry", closing=True)
        await socket.closed(3008, "auth_timeout;id=")


async def test_deadline_is_not_moved(chat: Site, mallory: str) -> None:
    """A verification that begins before auth_timeout and would end after it does not keep Mallory's socket open."""
    async with chat.open("/hurried") as socket:
        await socket.hears("auth_required")
        await asyncio.sleep(0.3)  # else the verification's own limit, as long, may come first
        await socket.auth(f"slow-10-{mallory}")
        await socket.closed(3008, "auth_timeout;id=")


async def test_verification_in_the_handshake_that_takes_too_long(chat: Site, mallory: str) -> None:
    """A verifier that does not answer in time is a 503 with retry_after, not a hang."""
    refusal = await chat.says_no("unavailable", 503, 1013, "/hurried", token=f"slow-10-{mallory}")
    if chat.difference.denies:
        assert refusal.headers["retry-after"] == "1"
    else:
        assert refusal.reason.endswith(";retry_after=1")


@pytest.mark.parametrize(
    "spelling",
    [
        '{"token":"TOKEN","type":"auth"}',
        ' \n{ "x": {"type":"other"}, "token" : "TOKEN" , "type" : "auth" }',
        '{"\\u0074ype":"\\u0061uth","token":"TOKEN"}',
        '{"type":"auth","token":"TOKEN","padding":"' + "é" * 5_000 + '"}',
    ],
    ids=["order", "space", "escapes", "long"],
)
async def test_spelling_does_not_matter(chat: Site, alice: str, spelling: str) -> None:
    """Member order, white space, escapes and other members do not matter."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.say(spelling.replace("TOKEN", token(alice)))
        await socket.hears("auth_success", subject=alice)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "auth", "token": 1}, "credentials_invalid"),
        ({"type": "auth", "token": "x", "ticket": "y"}, "credentials_ambiguous"),
        ('{"type":"auth","token":"x","token":"y"}', "credentials_invalid"),
        ('{"type":"auth","token":"\\ud800"}', "credentials_invalid"),
        ({"type": "auth", "username": "alice", "password": "x"}, "credentials_invalid"),
        ({"type": "auth", "ticket": "x"}, "ticket_invalid"),
    ],
    ids=["number", "two", "twice", "surrogate", "no-passwords-here", "unknown-ticket"],
)
async def test_malformed_auth(chat: Site, message: Any, code: str) -> None:
    """An auth message that presents not exactly one good text is wrong, and never passed on."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.say(message)
        await socket.hears("auth_error", code=code, closing=False)


async def test_attempts_of_a_strict_route(chat: Site, mallory: str) -> None:
    """With one attempt the first wrong credential is the last."""
    async with chat.open("/strict") as socket:
        await socket.hears("auth_required")
        await socket.say(json.dumps({"type": "auth", "token": token(mallory) + "x"}))
        await socket.hears("auth_error", code="too_many_attempts", closing=True)
        await socket.closed(3000)


async def test_permission_in_band(chat: Site, bob: str) -> None:
    """In-band a missing permission closes with 3003."""
    async with chat.open("/admin") as socket:
        await socket.hears("auth_required")
        await socket.auth(token(bob))
        await socket.hears("auth_error", code="permission_denied", action="stop", closing=True)
        await socket.closed(3003, "permission_denied;id=")
