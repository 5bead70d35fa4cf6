"""ATTACKS.md, group "Authorization": every test is named by its row."""

import json
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from tests.attacks.cast import token
from tests.attacks.wire import CLOSE, frame, request, wire
from tests.servers import SERVERS, Running
from wsauth import Guard, Route
from wsauth.integrations.asgi import WebSocketAuthMiddleware

everywhere = pytest.mark.parametrize("target", SERVERS, indirect=True)


def bearer(**claims: Any) -> str:
    """Return the header with a good token."""
    return f"Authorization: Bearer {token(**claims)}"


async def endpoint(socket: WebSocket) -> None:
    """Be an endpoint that somebody wrote."""
    await socket.accept()


def test_az_01_a_forgotten_endpoint_is_named() -> None:
    """`guard.check` names each WebSocket route that no guard covers, however it is mounted, and no other."""
    guard = Guard(verifiers=[], origins=[], routes=[Route("/public", anonymous=True)])
    guarded, bare = FastAPI(), FastAPI()
    guarded.add_api_websocket_route("/ws", endpoint)
    guarded.add_middleware(WebSocketAuthMiddleware, guard=guard)
    bare.add_api_websocket_route("/terminal/ws", endpoint)
    outer = FastAPI()
    outer.mount("/guarded", guarded)
    outer.mount("/bare", bare)
    outer.add_api_websocket_route("/forgotten", endpoint)
    assert guard.check(guarded) == []
    assert sorted(guard.check(outer)) == ["/bare/terminal/ws", "/forgotten"]


def test_az_01_another_guards_endpoint_is_named() -> None:
    """An endpoint behind another guard is not this one's."""
    guard, other = Guard(verifiers=[], origins=[]), Guard(verifiers=[], origins=[])
    app = FastAPI()
    app.add_api_websocket_route("/ws", endpoint)
    app.add_middleware(WebSocketAuthMiddleware, guard=other)
    assert guard.check(app) == ["/ws"]


@everywhere
async def test_az_02_the_middleware_denies_and_does_not_only_label(target: Running) -> None:
    """Without a good credential the application is not called, on every path, known to it or not."""
    for path in ("/ws", "/admin", "/chat/broken", "/no/such/path"):
        async with wire(target.port, request(path, "Authorization: Bearer no")) as mallory:
            answer = await mallory.answer()
            if target.server == "daphne":
                end = await mallory.frame()
                assert end is not None
                assert (end.opcode, end.close_code) == (CLOSE, 3000)
            else:
                assert answer.status == 401


@everywhere
async def test_az_05_06_names_and_wildcards_are_literal(target: Running) -> None:
    """Only the very permission is held, and no name that a client sends is a pattern."""
    asked = {
        "chat:42:read": True,
        "chat:42:send": False,
        "chat:*:read": False,
        "chat:**": False,
        "**": False,
        "*": False,
        "chat:#": False,
        "chat:.*:read": False,
        "chat::read": False,
        "chat:42:read:": False,
        "chat:42:read.": False,
        "chat:42:read/": False,
        "CHAT:42:READ": False,
        "chat:42:re\u0430d": False,
        "chat:42:read\u200b": False,
        "chat:42:%72ead": False,
        "chat:42:e\u0301/../read": False,
        "wsauth:admin": False,
        "": False,
        "chat:" + "4" * 8_000 + ":read": False,
        ":".join(["chat", *["x"] * 500, "read"]): False,
    }
    async with wire(target.port, request("/ws", bearer(roles=["member"]))) as bob:
        assert (await bob.answer()).status == 101
        for name, allowed in asked.items():
            bob.send(frame(f"allows {name}"))
            assert await bob.text() == f"alice: {json.dumps([allowed, allowed])}", name


async def test_az_05_06_patterns_in_a_token_are_no_patterns(target: Running) -> None:
    """Permissions that stand in a token are names: `*` in them reaches nothing, nor does `wsauth:`."""
    rights = "chat:** * ** wsauth:admin wsauth:** panel:*"
    async with wire(target.port, request("/ws", bearer(scope=rights))) as mallory:
        assert (await mallory.answer()).status == 101
        for name in ("chat:1:read", "panel:open", "anything"):
            mallory.send(frame(f"allows {name}"))
            assert await mallory.text() == "alice: [false, false]"
        mallory.send(frame("allows wsauth:admin"))
        assert await mallory.text() == "alice: [false, false]"
    async with wire(target.port, request("/admin", bearer(scope=rights))) as mallory:
        assert (await mallory.answer()).status == 403


@everywhere
async def test_az_07_rights_that_a_client_declares_are_ignored(target: Running) -> None:
    """Members beside the token, and query and headers, give nobody a role."""
    spoof = ("X-User: admin", "X-Wsauth-Roles: admin", "Sec-WebSocket-Protocol: wsauth.v1, chat")
    async with wire(target.port, request("/ws?role=admin", *spoof)) as mallory:
        assert (await mallory.answer()).status == 101
        await mallory.message("auth_required")
        declared = {"scopes": ["admin"], "role": "admin", "roles": ["admin"], "permissions": ["panel:open"]}
        mallory.send(frame(json.dumps({"type": "auth", "token": token("mallory"), "subject": "alice", **declared})))
        success = await mallory.message("auth_success")
        assert (success["subject"], success["roles"], success["permissions"]) == ("mallory", [], [])
        mallory.send(frame("allows panel:open"))
        assert await mallory.text() == "mallory: [false, false]"


@everywhere
async def test_az_07_the_role_anonymous_is_nobodys(target: Running) -> None:
    """A route's `require` holds for whoever comes, with the role it needs and not without."""
    async with wire(target.port, request("/admin", bearer(roles=["admin"]))) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame("hi"))
        assert await alice.text() == "alice: hi"
    for claims in ({"roles": ["member"]}, {"roles": ["Admin"]}, {"roles": "admins"}, {}):
        async with wire(target.port, request("/admin", bearer(**claims))) as mallory:
            answer = await mallory.answer()
            if target.server == "daphne":
                end = await mallory.closed()
                assert (end.close_code, end.reason) == (3003, "permission_denied")
            else:
                assert (answer.status, answer.code) == (403, "permission_denied")


@pytest.mark.parametrize("answer", ["raise", "one", "yes", "true", "unknown"])
async def test_az_13_only_an_identity_lets_somebody_in(target: Running, answer: str) -> None:
    """A verifier that raises, or answers 1, "yes" or true, lets nobody in, by any source."""
    async with wire(target.port, request("/ws", f"Authorization: Bearer odd-{answer}")) as mallory:
        assert (await mallory.answer()).status in (401, 503)
    async with wire(target.port, request("/ws")) as mallory:
        assert (await mallory.answer()).status == 101
        await mallory.message("auth_required")
        mallory.send(frame(json.dumps({"type": "auth", "token": f"odd-{answer}"})), frame("hello"))
        assert (await mallory.message("auth_error"))["code"] in ("unavailable", "credentials_invalid")


async def test_az_13_a_verifier_that_hangs_lets_nobody_in(target: Running) -> None:
    """A verifier that does not answer is given `auth_timeout`, then the answer is 503."""
    async with wire(target.port, request("/hurried", "Authorization: Bearer odd-hang")) as mallory:
        answer = await mallory.answer()
        assert (answer.status, answer.code) == (503, "unavailable")


@everywhere
async def test_az_13_a_permission_that_is_missing_closes(target: Running) -> None:
    """`require` in the application ends the connection with 3003."""
    async with wire(target.port, request("/ws", bearer())) as mallory:
        assert (await mallory.answer()).status == 101
        mallory.send(frame("require panel:open"))
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (3003, "permission_denied")


@everywhere
async def test_az_17_being_on_this_machine_is_no_right(target: Running) -> None:
    """A client on loopback, which all of these are, gets nothing without a credential."""
    async with wire(target.port, request("/ws", "X-Forwarded-For: 127.0.0.1")) as mallory:
        assert (await mallory.answer()).status == 101
        await mallory.message("auth_required")
        mallory.send(frame("allows chat:1:read"))
        assert (await mallory.message("auth_error"))["code"] == "credentials_missing"
