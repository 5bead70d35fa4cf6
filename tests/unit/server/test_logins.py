"""Logins at a real server: what its log says of those that fail, and what a new cookie carries on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from secrets import token_hex

import httpx2
import pytest

from tests.attacks.wire import Wire, request, wire
from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import called, echoes, new_password, people, port_of, said

BRIEF = """
[tokens]
access_ttl = "4s"

[login]
form = true

[[routes]]
path = "/ws"
upstream = "echo"
grace = "1s"
sources = ["header", "cookie", "basic"]
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Serving]:
    """Run a server whose leases are short."""
    async with serving(tmp_path, config=BRIEF) as running:
        yield running
        assert "Traceback" not in running.output()


async def test_the_log_names_only_users_that_exist(server: Serving) -> None:
    """A password typed where the name belongs is in no line, by JSON, form or handshake; Alice's name is."""
    await people(server, ["alice"])
    login = f"{server.http}/auth/login"
    wrong = secret(token_hex(8), "a wrong password")
    typed = [secret(f"My-{token_hex(8)}", f"a password typed as a name, {way}") for way in ("JSON", "form", "Basic")]
    answers = [
        await called("POST", login, body={"username": typed[0], "password": wrong}),
        await called("POST", login, body={"username": "alice", "password": wrong}),
    ]
    async with httpx2.AsyncClient(trust_env=False) as client:
        answers.append(await client.post(login, data={"username": typed[1], "password": wrong}))
        answers.append(await client.get(f"{server.http}/auth/me", auth=(typed[2], wrong)))
    for answer, named in zip(answers, (False, True, False, False), strict=True):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (401, "credentials_invalid")
        assert ("alice" in await said(server, f"id={problem['id']}")) is named
    assert {(answer.json()["detail"], answer.json()["action"]) for answer in answers} == {
        ("The credentials are wrong", "login")
    }
    assert not [name for name in typed if name.lower() in server.output().lower()]


class Page:
    """Be a page of our own with Alice's cookie."""

    def __init__(self, server: Serving) -> None:
        self.server = server
        self.http = httpx2.AsyncClient(base_url=server.http, headers={"Origin": server.http}, trust_env=False)

    @property
    def cookie(self) -> str:
        """Return the cookie of now."""
        return secret(self.http.cookies["wsauth"], "Alice's cookie")

    async def login(self, password: str) -> None:
        """Sign in."""
        body = {"username": "alice", "password": password, "cookie": True}
        answer = await self.http.post("/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        self.http.headers["X-CSRF-Token"] = secret(answer.json()["csrf_token"], "Alice's CSRF token")

    def open(self) -> AbstractAsyncContextManager[Wire]:
        """Return a WebSocket with the cookie of now, to be entered."""
        lines = (f"Origin: {self.server.http}", f"Cookie: wsauth={self.cookie}")
        return wire(port_of(self.server.http), request("/ws", *lines))


async def test_only_the_new_cookies_socket_is_extended(server: Serving) -> None:
    """After a password change refreshes keep the socket of the new cookie open, and the one from before ends."""
    password = await people(server, ["alice"])
    page = Page(server)
    async with page.http:
        await page.login(password)
        async with page.open() as before:
            assert (await before.answer()).status == 101
            changed = {"current_password": password, "new_password": new_password("alice")}
            old = page.cookie
            answer = await page.http.put("/auth/password", json=changed)
            assert (answer.status_code, page.cookie != old) == (204, True), answer.text
            async with page.open() as after:
                assert (await after.answer()).status == 101
                assert await echoes(before)
                ending = asyncio.ensure_future(before.closed(8))
                for _ in range(8):
                    await asyncio.sleep(1)
                    assert (await page.http.post("/auth/refresh")).status_code == 200
                    assert await echoes(after)
                end = await ending
                assert (end.close_code, end.reason) == (3000, "token_expired")
