"""Applications with the library inside, on the store of `wsauth serve`: they act as one with it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.issuing import AUDIENCE, ISSUER, SECRET, signed
from tests.servers import Running, serve
from tests.wsauth_server import ISSUER as OURS
from tests.wsauth_server import Serving, secret, serving

PASSWORD = secret("four white rabbits and a watch", "the password of alice")
CONFIG = f'[tokens]\nissuer = "{OURS}"\n'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Serving]:
    """Serve logins."""
    async with serving(tmp_path, config=CONFIG) as running:
        await running.add_user("alice", PASSWORD, roles=["member"])
        yield running


async def _application(name: str, folder: Path) -> AsyncGenerator[Running]:
    environ = {"WSAUTH_TEST_KIND": name, "WSAUTH_TEST_FOLDER": str(folder), "WSAUTH_TEST_SECRET": SECRET}
    async with serve("tests.apps.embedded:app", env=environ) as running:
        yield running


@pytest.fixture
async def sharing(server: Serving) -> AsyncGenerator[Running]:
    """Serve an application with another issuer's tokens."""
    async for running in _application("sharing", server.folder):
        yield running


@pytest.fixture
async def configured(server: Serving) -> AsyncGenerator[Running]:
    """Serve an application with our own users."""
    async for running in _application("configured", server.folder):
        yield running


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


def token_of(subject: str) -> str:
    """Return a token of the other issuer."""
    now = time.time()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 60}
    return secret(signed(claims), "a token")


async def _closed(socket: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(2):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return (frame.code, frame.reason.partition(";")[0]) if frame else (1006, "")


async def test_a_revocation_at_the_command_line_reaches_an_application(server: Serving, sharing: Running) -> None:
    """What is revoked beside a running application closes its socket there, and the report counts it."""
    token = token_of("alice")
    async with connect(f"{sharing.url}/ws", additional_headers=bearer(token)) as socket:
        await socket.send("hello")
        assert await socket.recv() == "alice: hello"
        done = await server.command("sessions", "revoke", "--subject", "alice", "--issuer", ISSUER, "--json")
        report = done.json()
        assert (report["matched"], report["closed"], report["complete"]) == (1, 1, True)
        assert report["nodes"] == {"live": 2, "answered": 2, "silent": 0}
        assert await _closed(socket) == (3000, "token_revoked")
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{sharing.url}/ws", additional_headers=bearer(token))
    assert refused.value.response.status_code == 401


async def test_a_ticket_of_one_process_is_used_once_in_all(server: Serving, sharing: Running) -> None:
    """A ticket made by the application opens one socket, at the server or at the application."""
    async with httpx2.AsyncClient(base_url=sharing.http) as client:
        made = await client.post("/ticket", headers=bearer(token_of("alice")))
    ticket = secret(made.json()["ticket"], "a ticket")
    async with connect(f"{server.ws}/ws?ticket={ticket}") as socket:
        await socket.send("once")
        assert await socket.recv() == "once"
    with pytest.raises(InvalidStatus):
        await connect(f"{sharing.url}/ws?ticket={ticket}")


async def test_a_login_at_the_server_is_good_at_an_application_until_it_ends(
    server: Serving, configured: Running
) -> None:
    """An application from the same file takes the server's logins, and closes their sockets at the log-out."""
    login = await server.login("alice", PASSWORD)
    async with connect(f"{configured.url}/ws", additional_headers=bearer(login["access_token"])) as socket:
        await socket.send("hello")
        assert await socket.recv() == "alice: hello"
        async with httpx2.AsyncClient(base_url=server.http, headers=bearer(login["access_token"])) as client:
            assert (await client.post("/auth/logout")).status_code == 204
        assert await _closed(socket) == (3000, "session_revoked")


async def test_a_cookie_of_the_server_is_good_at_an_application_with_its_csrf_token(
    server: Serving, configured: Running
) -> None:
    """The session cookie opens requests that change something with an allowed Origin and its CSRF token only."""
    async with httpx2.AsyncClient() as client:
        login = {"username": "alice", "password": PASSWORD, "cookie": True}
        signed_in = await client.post(f"{server.http}/auth/login", json=login)
        csrf = secret(signed_in.json()["csrf_token"], "a CSRF token")
        cookie = secret(signed_in.cookies["wsauth"], "a cookie")
        page = {"Origin": "http://127.0.0.1:8080", "Cookie": f"wsauth={cookie}"}
        statuses = [
            (await client.post(f"{configured.http}/ticket", headers={**page, **more})).status_code
            for more in ({}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": csrf})
        ]
    assert statuses == [403, 403, 200]
