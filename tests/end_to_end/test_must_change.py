"""After an administrator's reset a password is good for choosing another one, and for nothing else."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.end_to_end.administering import Office, office, opened
from tests.wsauth_server import Serving
from tests.wsauth_sockets import called, refusal

FIRST, SECOND = "four white rabbits and a watch", "seven grey herons on a wire"
REQUIRED = (403, "password_change_required")


async def reset(at: Office) -> str:
    """Have the administrator reset bob's password, and return the new one."""
    await at.server.add_user("bob", FIRST)
    changed = await at.do("PATCH", "/users/bob", {"reset_password": True})
    assert (await at.get("/users/bob"))["must_change"] is True
    return str(changed["password"])


async def told(server: Serving, method: str, path: str, token: str, body: Any = None) -> tuple[int, str]:
    """Return the status and the code of an answer."""
    reply = await called(method, f"{server.http}{path}", token, body)
    return reply.status_code, reply.json().get("code", "") if reply.content else ""


async def test_a_token_opens_nothing_before_the_change(tmp_path: Path) -> None:
    """No socket, ticket or list; who it is, the change and the log-out work; then a refresh mends it."""
    async with office(tmp_path) as at:
        server, password = at.server, await reset(at)
        tokens = await server.login("bob", password)
        token = tokens["access_token"]
        for method, path in (("POST", "/auth/ticket"), ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions")):
            assert await told(server, method, path, token) == REQUIRED
        handshake = await refusal(server, token)
        assert handshake.status == 403
        assert b"password_change_required" in handshake.body
        assert await told(server, "GET", "/auth/me", token) == (200, "")
        again = await server.login("bob", password)
        assert await told(server, "POST", "/auth/logout", again["access_token"]) == (204, "")
        same = {"current_password": password, "new_password": password}
        assert (await told(server, "PUT", "/auth/password", token, same))[0] == 400
        bob = await at.get("/users/bob")
        assert bob["must_change"] is True
        assert bob["password_until"] is not None, "a login does not make it last"
        assert await told(
            server, "PUT", "/auth/password", token, {"current_password": password, "new_password": SECOND}
        ) == (204, "")
        assert (await at.get("/users/bob"))["must_change"] is False
        body = {"refresh_token": tokens["refresh_token"]}
        fresh = (await called("POST", f"{server.http}/auth/refresh", "", body)).json()["access_token"]
        async with opened(server, token=fresh) as socket:
            await socket.send("in")
            assert await socket.recv() == "in"
        async with opened(server, token=(await server.login("bob", SECOND))["access_token"]):
            pass


async def test_the_cookie_is_mended_by_the_change(tmp_path: Path) -> None:
    """The session that made the change goes on with what it has, without the demand."""
    async with office(tmp_path) as at, httpx2.AsyncClient(base_url=at.server.http) as page:
        password = await reset(at)
        page.headers["Origin"] = at.server.http
        body = {"username": "bob", "password": password, "cookie": True}
        signed_in = (await page.post("/auth/login", json=body)).json()
        page.headers["X-CSRF-Token"] = signed_in["csrf_token"]
        assert (await page.post("/auth/ticket", json={})).json()["code"] == "password_change_required"
        assert (await page.post("/auth/refresh")).status_code == 200
        assert (
            await page.put("/auth/password", json={"current_password": password, "new_password": SECOND})
        ).status_code == 204
        assert (await page.post("/auth/ticket", json={})).status_code in (200, 201)


async def test_a_password_in_the_handshake_is_asked_for_it_too(tmp_path: Path) -> None:
    """However the password comes, nothing opens."""
    route = '[[routes]]\npath = "/ws"\nupstream = "echo"\nsources = ["basic"]\n'
    (tmp_path / "wsauth.toml").write_text(route, "utf-8")
    async with office(tmp_path) as at:
        password = await reset(at)
        basic = b64encode(f"bob:{password}".encode()).decode()
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{at.server.ws}/ws", additional_headers={"Authorization": f"Basic {basic}"}):
                pass
        assert refused.value.response.status_code == 403
        assert b"password_change_required" in refused.value.response.body


async def test_a_ticket_of_an_administrator_and_basic_over_http_are_no_way_around(tmp_path: Path) -> None:
    """A ticket for somebody who must change opens nothing, and neither does their password with each request."""
    everywhere = '[[routes]]\npath = "/*"\nupstream = "echo"\nsources = ["basic", "ticket"]\n'
    (tmp_path / "wsauth.toml").write_text(everywhere, "utf-8")
    async with office(tmp_path) as at:
        password = await reset(at)
        ticket = await at.ticket(subject="bob")
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{at.server.ws}/ws?ticket={ticket}"):
                pass
        assert b"password_change_required" in refused.value.response.body
        async with httpx2.AsyncClient(auth=("bob", password), base_url=at.server.http) as basic:
            reply = await basic.get("/auth/sessions")
            assert (reply.status_code, reply.json()["code"]) == REQUIRED
