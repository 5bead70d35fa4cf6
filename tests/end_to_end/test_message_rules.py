"""Message rules at real servers: the same decisions in the middleware and through the gateway."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.issuing import SECRET, signed
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import called
from wsauth import Guard, JWTVerifier, Route
from wsauth.integrations.asgi import WebSocketAuthMiddleware
from wsauth.integrations.asgi.types import Receive, Scope, Send
from wsauth.testing import live_server

RULES = Path(__file__).parents[1] / "vectors" / "messages" / "chat.toml"
CASES: list[dict[str, Any]] = json.loads(RULES.with_suffix(".json").read_text())["cases"]
ISSUER = "https://login.example.com"
ROLES = {"member": ["chat:*:send", "board:*:write"], "moderator": ["chat:**"], "payer": ["bank:send"]}
_MOST = 8
"""Refusals on one connection: the eleventh invalid message within a minute ends it."""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back what comes, without a look at it."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{name: message.get(name) for name in ("text", "bytes")}})


async def echo(socket: ServerConnection) -> None:
    """Be a backend that knows nothing of wsauth."""
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def library(_: Path) -> AsyncGenerator[str]:
    """Run an application behind the middleware."""
    guard = Guard(
        verifiers=[JWTVerifier(issuer=ISSUER, audience="chat", secret=SECRET, roles="*")],
        origins=[],
        roles=ROLES,
        routes=[Route("/ws", message_rules=RULES)],
    )
    with live_server(WebSocketAuthMiddleware(application, guard=guard)) as server:
        yield server.url.replace("http", "ws", 1)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncGenerator[str]:
    """Run the gateway in front of a backend."""
    async with serve(echo, "127.0.0.1", 0) as backend:
        port = next(iter(backend.sockets)).getsockname()[1]
        config = f"""
[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{port}"
message_rules = "{RULES}"
on_rights_change = "keep"

[roles]
{chr(10).join(f"{name} = {json.dumps(patterns)}" for name, patterns in ROLES.items())}

[[issuers]]
issuer = "{ISSUER}"
audience = "chat"
secret = "{SECRET}"
roles = "*"
"""
        async with serving(folder, config=config) as at:
            yield at.ws


def token(case: dict[str, Any]) -> str:
    """Return the token of whoever sends a case."""
    now = int(time.time())
    times = {"now": now, "old": now - 400}
    claims = {name: times.get(value, value) for name, value in case.get("claims", {}).items()}
    said = {"iss": ISSUER, "aud": "chat", "sub": "alice", "iat": now, "exp": now + 600, "roles": case["roles"]}
    return signed(said | claims)


@asynccontextmanager
async def opened(url: str, case: dict[str, Any], *, speaks: bool = True) -> AsyncGenerator[ClientConnection]:
    """Open a socket as whoever sends a case."""
    headers = {"Authorization": f"Bearer {token(case)}"}
    offers: Any = ["wsauth.v1"] if speaks else None
    async with connect(f"{url}/ws", additional_headers=headers, subprotocols=offers, compression=None) as socket:
        if speaks:
            assert json.loads(await socket.recv())["type"] == "auth_success"
        yield socket


def frame_of(case: dict[str, Any]) -> str | bytes:
    """Return what is sent."""
    return bytes.fromhex(case["hex"]) if "hex" in case else str(case["text"])


TARGETS = pytest.mark.parametrize("target", [library, gateway])


@TARGETS
async def test_every_vector_is_decided_alike(tmp_path: Path, target: Any) -> None:
    """What passes comes back as the vector says; what does not is named by its number, code and field, and costs
    nothing else: the next message is answered."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in CASES:
        groups.setdefault(json.dumps([case["roles"], case.get("claims")]), []).append(case)
    async with target(tmp_path) as url:
        for cases in groups.values():
            left = list(cases)
            while left:
                refused = number = 0
                async with opened(url, left[0]) as socket:
                    while left and refused < _MOST:
                        case, number = left.pop(0), number + 1
                        if "\\ud" in json.dumps(case.get("text", "")) and _is_half(case["text"]):
                            continue  # no client can send it as a text
                        await socket.send(frame_of(case))
                        heard = await socket.recv()
                        if "code" not in case:
                            assert heard == case["passes"], case["about"]
                            continue
                        refused += 1
                        told = json.loads(heard)
                        assert (told["type"], told["code"], told["message"]) == (
                            "auth_refused", case["code"], number,
                        ), (case["about"], told)  # fmt: skip
                        assert case["detail"] in told["detail"], (case["about"], told)


def _is_half(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


@TARGETS
async def test_a_client_that_does_not_speak_wsauth(tmp_path: Path, target: Any) -> None:
    """What is refused never arrives, fragments are put together first, and the sender is written in."""
    async with target(tmp_path) as url, opened(url, {"roles": ["member"]}, speaks=False) as socket:
        await socket.send('{"type":"shout"}')
        await socket.send(b"binary")
        await socket.send('{"type":"move","board.id":"b1","board":{"id":"*"}}')
        await socket.send('{"type":"say","room":"*","text":"hi"}')
        await socket.send(['{"type":"sa', 'y","room":"lob', 'by","text":"hi","from":"mallory"}'])
        assert json.loads(await socket.recv()) == {"type": "say", "room": "lobby", "text": "hi", "from": "alice"}
        await socket.send(['{"type":"ping","n":"', "x" * 3000, '"}'])
        assert len(str(await socket.recv())) == 3022
        await (await socket.ping())


@TARGETS
async def test_whoever_sends_nonsense_all_the_time_is_cut_off(tmp_path: Path, target: Any) -> None:
    """The eleventh invalid message within a minute closes with 1008; nothing of it has arrived."""
    async with target(tmp_path) as url, opened(url, {"roles": ["member"]}) as socket:
        told = []
        with suppress(ConnectionClosed):
            for number in range(40):
                await socket.send(f"nonsense {number}")
                told.append(json.loads(await socket.recv())["type"])
        assert set(told) <= {"auth_refused", "auth_error"}
        assert (socket.close_code, (socket.close_reason or "").partition(";")[0]) == (1008, "message_invalid")


@TARGETS
async def test_a_flood_of_refused_messages_ends(tmp_path: Path, target: Any) -> None:
    """Two hundred within a minute, whatever for: the connection is closed, and may come back later."""
    async with target(tmp_path) as url, opened(url, {"roles": []}) as socket:
        with suppress(ConnectionClosed):
            for _ in range(400):
                await socket.send('{"type":"say","room":"lobby","text":"hi"}')
            while True:
                await socket.recv()
        assert (socket.close_code, (socket.close_reason or "").partition(";")[0]) == (1013, "rate_limited")


@TARGETS
async def test_rights_of_now_decide(tmp_path: Path, target: Any) -> None:
    """A renewal with fewer roles stays open, and what they allowed is refused from the next message on."""
    async with target(tmp_path) as url, opened(url, {"roles": ["member"]}) as socket:
        await socket.send('{"type":"say","room":"lobby","text":"hi","from":"alice"}')
        assert json.loads(await socket.recv())["type"] == "say"
        now = int(time.time())
        said = {"iss": ISSUER, "aud": "chat", "sub": "alice", "iat": now, "exp": now + 900, "roles": []}
        await socket.send(json.dumps({"type": "auth", "token": signed(said)}))
        assert json.loads(await socket.recv())["type"] == "auth_success"
        await socket.send('{"type":"say","room":"lobby","text":"hi","from":"alice"}')
        told = json.loads(await socket.recv())
        assert (told["type"], told["code"], told["message"]) == ("auth_refused", "permission_denied", 2)


# ATTACKS.md, group "Authorization", through the gateway in front of a backend that checks nothing.

CHAT = """
[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{port}"
message_rules = "{rules}"
on_rights_change = "keep"

[roles]
member = ["chat:*:send"]
moderator = ["@member", "chat:*:mute"]
"""
SAY = '{"type":"say","room":"lobby","text":"hi","from":"alice"}'
MUTE = '{"type":"mute","room":"lobby","who":"bob","by":"alice"}'


@asynccontextmanager
async def chat(folder: Path) -> AsyncGenerator[Serving]:
    """Run the gateway with users of our own."""
    async with serve(echo, "127.0.0.1", 0) as backend:
        port = next(iter(backend.sockets)).getsockname()[1]
        async with serving(folder, config=CHAT.format(port=port, rules=RULES)) as at:
            yield at


@asynccontextmanager
async def as_user(at: Serving, name: str, password: str) -> AsyncGenerator[ClientConnection]:
    """Open a socket as a user of ours."""
    headers = {"Authorization": f"Bearer {(await at.login(name, password))['access_token']}"}
    offers: Any = ["wsauth.v1"]
    async with connect(f"{at.ws}/ws", additional_headers=headers, subprotocols=offers) as socket:
        assert json.loads(await socket.recv())["type"] == "auth_success"
        yield socket


async def answer(socket: ClientConnection, message: str) -> str:
    """Return `passes`, or the code of the refusal."""
    await socket.send(message)
    while True:
        told = json.loads(await socket.recv())
        if told["type"] != "auth_changed":
            return str(told["code"]) if told["type"] == "auth_refused" else "passes"


async def test_az_03_what_members_may_not_do_is_refused_and_written_down(tmp_path: Path) -> None:
    """AZ-03: each of a moderator's messages by a member, as themselves and as others; the log has each."""
    async with chat(tmp_path) as at:
        password = await at.add_user("alice", "four white rabbits and a watch", roles=["member"])
        async with as_user(at, "alice", password) as socket:
            for message in (MUTE, MUTE.replace('"lobby"', '"secret"'), MUTE.replace('"alice"', '"root"')):
                assert await answer(socket, message) == "permission_denied"
            assert await answer(socket, SAY) == "passes"
        entries = (await at.command("audit", "list", "--json", "--event", "authz_fail")).out.splitlines()
        assert [json.loads(each)["subject"] for each in entries] == ["alice"] * 3


async def test_az_10_11_what_is_taken_away_is_gone_within_a_second(tmp_path: Path) -> None:
    """AZ-10, AZ-11: a moderator is demoted and an open socket knows it at once, without a reconnect; and back again."""
    async with chat(tmp_path) as at:
        password = await at.add_user("alice", "four white rabbits and a watch", roles=["moderator"])
        async with as_user(at, "alice", password) as socket:
            assert await answer(socket, MUTE) == "passes"
            assert (await at.command("users", "set-roles", "alice", "--role", "member")).status == 0
            done = time.monotonic()
            while await answer(socket, MUTE) == "passes":
                assert time.monotonic() - done < 1
            assert await answer(socket, SAY) == "passes"
            assert (await at.command("users", "set-roles", "alice", "--role", "moderator")).status == 0
            done = time.monotonic()
            while await answer(socket, MUTE) != "passes":
                assert time.monotonic() - done < 1


async def test_az_14_unknown_actions_are_refused_and_counted(tmp_path: Path) -> None:
    """AZ-14: types that have no rule, in every spelling, never arrive; the metrics say how many."""
    async with chat(tmp_path) as at:
        password = await at.add_user("alice", "four white rabbits and a watch", roles=["moderator"])
        key = await at.add_service("prometheus", grants=["wsauth:metrics"])
        async with as_user(at, "alice", password) as socket:
            for name in ("shout", "Say", "say ", "say/v2", "auth_admin"):
                assert (
                    await answer(socket, json.dumps({"type": name, "room": "lobby", "text": "x"})) == "message_invalid"
                )
        metrics = (await called("GET", f"{at.admin}/metrics", key, None)).text
        assert 'wsauth_messages_refused_total{code="message_invalid"} 5.0' in metrics
