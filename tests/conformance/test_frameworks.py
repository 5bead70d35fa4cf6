"""CONTRACT section 9: Starlette's `requires` and exceptions, FastAPI's dependencies, on every server."""

from typing import Any

import pytest

from tests.conformance.client import Site, Socket, token
from tests.issuing import ISSUER


async def _in_band(socket: Socket, alice: str, *, asked_first: bool = False, **changes: Any) -> None:
    """Authenticate; `asked_first`: the application says no before anybody hears that this was good."""
    await socket.hears("auth_required")
    await socket.auth(token(alice, **changes))
    if not asked_first:
        await socket.hears("auth_success", subject=alice)


def _bearer(subject: str, **changes: Any) -> str:
    return f"Bearer {token(subject, **changes)}"


async def test_bare_middleware(chat: Site, alice: str) -> None:
    """Every server runs `WebSocketAuthMiddleware(app, guard)` itself, as ASGI 3: lifespan, requests and sockets."""
    assert await chat.control("served") == "wsauth.integrations.asgi.middleware.WebSocketAuthMiddleware"
    lifespan = ["lifespan.startup"] if chat.difference.lifespan else []
    assert await chat.control("seen", subject="lifespan") == lifespan
    async with chat.open(token=token(alice)) as socket:
        assert (await socket.ask("who"))["subject"] == alice


async def test_starlette_requires(starlette_chat: Site, alice: str, mallory: str) -> None:
    """`requires` knows the patterns of roles, and closes on who lacks the permission."""
    async with starlette_chat.open("/lobby", token=token(alice, roles=["member"])) as socket:
        assert await socket.ask("who") == alice
    refusal = await starlette_chat.refused("/lobby", token=token(mallory))
    assert refusal.status == 403


async def test_starlette_requires_authenticated(starlette_chat: Site, alice: str) -> None:
    """`requires("authenticated")` takes anybody who is somebody, and not nobody."""
    async with starlette_chat.open("/members", token=token(alice)) as socket:
        assert await socket.ask("who") == alice
    refusal = await starlette_chat.refused("/anonymous")
    assert refusal.status == 403


async def test_starlette_requires_in_band(starlette_chat: Site, mallory: str) -> None:
    """After in-band authentication what `requires` refuses closes with 3003 instead of 1000."""
    async with starlette_chat.open("/lobby") as socket:
        await _in_band(socket, mallory, asked_first=starlette_chat.difference.upstream)
        await socket.hears("auth_error", code="permission_denied", closing=True)
        await socket.closed(3003, "permission_denied;id=")


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_starlette_exception_before_accept(starlette_chat: Site, alice: str, status: int) -> None:
    """An HTTPException before accept is that status, where the server can say it."""
    refusal = await starlette_chat.refused(f"/raising/{status}", token=token(alice))
    if starlette_chat.difference.upstream and status == 404:
        status = 502
    assert refusal.status == (status if starlette_chat.difference.denies else 403)


@pytest.mark.parametrize(
    ("status", "code", "close"),
    [
        (401, "credentials_invalid", 3000),
        (403, "permission_denied", 3003),
        (404, "unavailable", 1011),
        (1008, "permission_denied", 3003),
    ],
)
async def test_starlette_exception_in_band(
    starlette_chat: Site, alice: str, status: int, code: str, close: int
) -> None:
    """After in-band authentication an exception before accept is translated to its close code."""
    code, close = starlette_chat.difference.failed(code, close)
    async with starlette_chat.open(f"/raising/{status}") as socket:
        await _in_band(socket, alice, asked_first=starlette_chat.difference.upstream)
        await socket.hears("auth_error", code=code, closing=True)
        await socket.closed(close)


@pytest.mark.parametrize("in_band", [False, True], ids=["header", "in-band"])
async def test_unknown_path(starlette_chat: Site, alice: str, in_band: bool) -> None:
    """A path that the application does not have is refused, and never hangs."""
    if not in_band:
        refusal = await starlette_chat.refused("/nowhere", token=token(alice))
        assert refusal.status in {403, 404}
        return
    async with starlette_chat.open("/nowhere") as socket:
        await _in_band(socket, alice, asked_first=starlette_chat.difference.upstream)
        assert [message["type"] for message in await socket.rest()] == ["auth_error"]
        assert socket.connection.close_code in {1011, 3003}


async def test_starlette_echo_sees_our_close(starlette_chat: Site, alice: str) -> None:
    """A handler that iterates over messages ends without noise when wsauth closes."""
    async with starlette_chat.open("/echo", token=token(alice, ttl=1.5)) as socket:
        assert await socket.ask("hello") == "hello"
        await socket.closed(3000, "token_expired;id=")
    assert "Traceback" not in starlette_chat.running.output()


async def test_starlette_http(starlette_chat: Site, alice: str, mallory: str) -> None:
    """HTTP requests have the same user; without good credentials nobody's."""
    answer = await starlette_chat.get("/page", Authorization=_bearer(alice, roles=["member"]))
    assert (answer.status_code, answer.json()) == (200, {"subject": alice})
    assert (await starlette_chat.get("/page", Authorization=_bearer(mallory))).status_code == 403
    assert (await starlette_chat.get("/page")).status_code == 403


async def test_fastapi_connection(fastapi_chat: Site, alice: str) -> None:
    """The dependency gives the connection, whose identity is Alice's."""
    async with fastapi_chat.open("/ws", token=token(alice)) as socket:
        assert await socket.ask("who am I?") == alice


@pytest.mark.parametrize("in_band", [False, True], ids=["header", "in-band"])
async def test_fastapi_connection_with_permission(fastapi_chat: Site, alice: str, mallory: str, in_band: bool) -> None:
    """The dependency refuses who lacks the permission: 403, or 3003 in-band."""
    async with fastapi_chat.open("/lobby", token="" if in_band else token(alice, roles=["member"])) as socket:
        if in_band:
            await _in_band(socket, alice, roles=["member"])
        assert await socket.ask("who am I?") == alice
    if not in_band:
        await fastapi_chat.says_no("permission_denied", 403, 3003, "/lobby", token=token(mallory))
        return
    async with fastapi_chat.open("/lobby") as socket:
        await _in_band(socket, mallory, asked_first=fastapi_chat.difference.upstream)
        await socket.hears("auth_error", code="permission_denied", closing=True)
        await socket.closed(3003)


async def test_fastapi_exception_in_band(fastapi_chat: Site, alice: str) -> None:
    """An HTTPException of FastAPI's own helpers becomes 3000 in-band."""
    async with fastapi_chat.open("/raising") as socket:
        await _in_band(socket, alice, asked_first=fastapi_chat.difference.upstream)
        await socket.closed(3000, "credentials_invalid;id=")


async def test_fastapi_identity(fastapi_chat: Site, alice: str, mallory: str) -> None:
    """The dependency gives an HTTP request's identity, or answers 401 with WWW-Authenticate."""
    answer = await fastapi_chat.get("/me", Authorization=_bearer(alice))
    assert (answer.status_code, answer.json()) == (200, {"issuer": ISSUER, "subject": alice})
    for headers in ({}, {"Authorization": _bearer(mallory) + "x"}, {"Authorization": _bearer(alice, ttl=-5, age=60)}):
        answer = await fastapi_chat.get("/me", **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_fastapi_kick(fastapi_chat: Site, alice: str, bob: str, mallory: str) -> None:
    """Who may kick disconnects Bob for a minute; Mallory may not."""
    async with fastapi_chat.open("/ws", token=token(bob)) as socket:
        assert await socket.ask("who am I?") == bob
        refused = await fastapi_chat.post(f"/users/{bob}/kick", Authorization=_bearer(mallory, roles=["member"]))
        assert refused.status_code == 403
        assert await socket.ask("still here?") == bob
        answer = await fastapi_chat.post(f"/users/{bob}/kick", Authorization=_bearer(alice, roles=["admin"]))
        assert (answer.status_code, answer.json()["closed"]) == (200, 1)
        await socket.closed(1013, "disconnected;id=")
