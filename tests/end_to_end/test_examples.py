"""The examples do what they say: each on real servers, with the `websockets` library and tokens of PyJWT's."""

import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import jwt
import pytest
from websockets import ConnectionClosed, InvalidStatus, Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from tests.issuing import AUDIENCE, ISSUER, SECRET
from tests.servers import Running, secret, serve

PAGE = Origin("https://app.example.com")


@pytest.fixture(scope="module", params=["uvicorn-sansio", "hypercorn"])
def server(request: pytest.FixtureRequest) -> str:
    """Name a server."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
async def asgi_app(anyio_backend: str, server: str) -> AsyncGenerator[Running]:
    """Run the plain ASGI example."""
    async with serve("examples.asgi_app:app", server=server, env={"CHAT_SECRET": SECRET}) as running:
        yield running


@pytest.fixture(scope="module")
async def starlette_app(anyio_backend: str, server: str) -> AsyncGenerator[Running]:
    """Run the Starlette example."""
    async with serve("examples.starlette_app:app", server=server, env={"CHAT_SECRET": SECRET}) as running:
        yield running


@pytest.fixture(scope="module")
async def fastapi_app(anyio_backend: str, server: str) -> AsyncGenerator[Running]:
    """Run the FastAPI example."""
    async with serve("examples.fastapi_app:app", server=server, env={"CHAT_SECRET": SECRET}) as running:
        yield running


def bearer(subject: str, **claims: Any) -> dict[str, str]:
    """Return the header with which a program brings its token."""
    now = int(time.time())
    payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300}
    return {"Authorization": f"Bearer {jwt.encode(payload | claims, SECRET, 'HS256')}"}


def program(url: str, subject: str, **claims: Any) -> connect:
    """Connect as a program that brings a token in a header and speaks no wsauth."""
    return connect(url, additional_headers=bearer(subject, **claims), proxy=None)


async def said(socket: ClientConnection, text: str) -> str | bytes:
    """Send a message and return what comes back."""
    await socket.send(text)
    return await socket.recv()


async def test_asgi_echo(asgi_app: Running) -> None:
    """Alice is called by her name, and Mallory, without a good token, is answered 401."""
    async with program(f"{asgi_app.url}/", "alice") as alice:
        assert await said(alice, "hello") == "alice: hello"
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"{asgi_app.url}/", additional_headers={"Authorization": "Bearer forged"}, proxy=None
        ).__aenter__()
    assert refused.value.response.status_code == 401


async def test_asgi_echo_is_told_of_the_end_in_band(asgi_app: Running) -> None:
    """Who brings nothing is asked, and may talk once a message has brought a token."""
    async with connect(f"{asgi_app.url}/", proxy=None) as bob:
        assert json.loads(await bob.recv())["type"] == "auth_required"
        token = bearer("bob")["Authorization"].removeprefix("Bearer ")
        assert json.loads(await said(bob, json.dumps({"type": "auth", "token": token})))["subject"] == "bob"
        assert await said(bob, "hello") == "bob: hello"


async def test_starlette_ticker(starlette_app: Running) -> None:
    """An editor publishes, a stranger hears it, and Bob, who is no editor, cannot get to the desk."""
    ticker = connect(f"{starlette_app.url}/ticker", proxy=None)
    async with ticker as stranger, program(f"{starlette_app.url}/desk", "alice", roles=["editors"]) as alice:
        assert await stranger.recv() == "welcome, stranger"
        assert await said(alice, "it rains") == "published to 1"
        assert await stranger.recv() == "it rains"
    with pytest.raises(InvalidStatus) as refused:
        await program(f"{starlette_app.url}/desk", "bob").__aenter__()
    assert refused.value.response.status_code == 403


async def test_starlette_http(starlette_app: Running) -> None:
    """The tokens of the sockets are good for requests, and without one there is no answer."""
    async with httpx2.AsyncClient(base_url=starlette_app.http) as client:
        assert (await client.get("/me", headers=bearer("bob"))).json() == {"subject": "bob"}
        assert (await client.get("/me")).status_code == 403


async def test_fastapi_rooms(fastapi_app: Running) -> None:
    """Members write in the lobby, only read elsewhere, and Mallory, without a role, sees no room."""
    lobby = f"{fastapi_app.url}/rooms/lobby"
    async with program(lobby, "alice", roles=["users"]) as alice, program(lobby, "bob", roles=["users"]) as bob:
        assert await said(alice, "hello") == "alice: hello"
        assert await bob.recv() == "alice: hello"
    speaking = connect(
        f"{fastapi_app.url}/rooms/archive",
        additional_headers=bearer("alice", roles=["users"]),
        subprotocols=[Subprotocol("wsauth.v1")],
        proxy=None,
    )
    async with speaking as alice:
        assert json.loads(await alice.recv())["type"] == "auth_success"
        refused = json.loads(await said(alice, "may I?"))
        assert (refused["type"], refused["code"]) == ("auth_refused", "permission_denied")
        assert refused["detail"] == "you may only read in archive"
    with pytest.raises(InvalidStatus) as denied:
        await program(lobby, "mallory").__aenter__()
    assert denied.value.response.status_code == 403


async def test_fastapi_ticket(fastapi_app: Running) -> None:
    """A page connects once with the ticket that its token bought, and not a second time."""
    async with httpx2.AsyncClient(base_url=fastapi_app.http) as client:
        assert (await client.post("/tickets")).status_code == 401
        answer = await client.post("/tickets", headers=bearer("bob", roles=["users"]))
        ticket = secret(answer.json()["ticket"], "a ticket of the example")
    url = f"{fastapi_app.url}/rooms/lobby?ticket={ticket}"
    async with connect(url, origin=PAGE, proxy=None) as bob:
        assert await said(bob, "hello") == "bob: hello"
    async with connect(url, origin=PAGE, proxy=None) as mallory:
        with pytest.raises(ConnectionClosed):
            await mallory.recv()
        assert (mallory.close_code, (mallory.close_reason or "").partition(";")[0]) == (3000, "ticket_invalid")


@pytest.mark.parametrize(
    ("order", "code", "reason"), [("kick", 1013, "disconnected"), ("revoke", 3000, "token_revoked")]
)
async def test_fastapi_administrator(fastapi_app: Running, order: str, code: int, reason: str) -> None:
    """Who may kick closes another's sockets at once; who may not is told so, and closes nothing."""
    user = f"mallory-{order}"
    async with (
        httpx2.AsyncClient(base_url=fastapi_app.http) as client,
        program(f"{fastapi_app.url}/rooms/lobby", user, roles=["users"]) as mallory,
    ):
        assert await said(mallory, "hello") == f"{user}: hello"
        assert (await client.get("/online", headers=bearer("alice"))).json() == {"connections": 1}
        assert (await client.post(f"/users/{user}/{order}", headers=bearer("bob"))).status_code == 403
        done = await client.post(f"/users/{user}/{order}", headers=bearer("alice", scope="users:kick"))
        assert done.json() == {"closed": 1}
        with pytest.raises(ConnectionClosed):
            await mallory.recv()
        assert (mallory.close_code, (mallory.close_reason or "").partition(";")[0]) == (code, reason)
