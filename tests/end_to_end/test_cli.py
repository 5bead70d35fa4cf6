"""The command against real servers: first start, two processes on one store, ending logins, and keys."""

import asyncio
import re
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.unit.cli.terminal import terminal
from tests.wsauth_server import PATIENCE, Serving, command, secret, serving

PASSWORD = "correct horse battery staple"
AT_ONCE = 1.0
"""Seconds within which a running server closes what was revoked."""


@asynccontextmanager
async def socket_of(server: Serving, token: str) -> AsyncGenerator[ClientConnection]:
    """Open a socket with an access token, past its `auth_success`."""
    offers = [Subprotocol("wsauth.v1"), Subprotocol(f"wsauth.bearer.{token}")]
    async with connect(f"{server.ws}/ws", subprotocols=offers) as socket:
        assert '"auth_success"' in str(await socket.recv())
        yield socket


async def closed(socket: ClientConnection) -> str:
    """Return the close reason of a socket that is closed at once."""
    with suppress(ConnectionClosed):
        async with asyncio.timeout(AT_ONCE):
            while True:
                await socket.recv()
    return socket.close_reason or ""


async def token_of(server: Serving, name: str = "alice") -> str:
    """Sign in, and return the access token."""
    return str((await server.login(name, PASSWORD))["access_token"])


# First start.


async def test_first_start_needs_no_configuration(tmp_path: Path) -> None:
    """It makes store and key for their owner only, makes nobody, and echoes to whoever was added and signs in."""
    async with serving(tmp_path, environ={"WSAUTH__TOKENS__ISSUER": ""}) as server:
        assert "There are no users yet" in server.output()
        assert f"store: {tmp_path / 'wsauth.db'}" in server.output()
        files = [file for file in tmp_path.iterdir() if file.is_file()]
        assert {"wsauth.db", "wsauth.key"} <= {file.name for file in files}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert (await server.command("users", "list", "--json")).json() == []
        await server.add_user("alice", PASSWORD)
        async with socket_of(server, await token_of(server)) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        assert await server.stop() == 0


async def test_the_first_start_on_a_terminal_makes_an_administrator(tmp_path: Path) -> None:
    """On a terminal `admin` is made with a password that is shown once, signs in, and grants wsauth:admin."""
    async with terminal(tmp_path, "serve") as screen:
        await screen.expect("  store: ")
        shown = re.findall(r"^    ([a-z2-7-]+)$", screen.shown, re.MULTILINE)
        url = re.findall(r"listening on (\S+)", screen.shown)[0]
        assert len(shown) == 1
        secret(shown[0], "the first password")
        async with httpx2.AsyncClient(base_url=url) as browser:
            login = await browser.post("/auth/login", json={"username": "admin", "password": shown[0]})
        assert login.json()["permissions"] == ["wsauth:admin"]
        screen.type("\x03")
        await screen.status()
    async with terminal(tmp_path, "serve") as screen:
        await screen.expect("  store: ")
        assert "password" not in screen.shown


@pytest.mark.parametrize("by_file", [False, True])
async def test_an_administrator_by_environment(tmp_path: Path, by_file: bool) -> None:
    """WSAUTH_ADMIN_PASSWORD, or the file that WSAUTH_ADMIN_PASSWORD_FILE names, is the password of `admin`."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    secret(PASSWORD, "a password")
    variable = (
        ("WSAUTH_ADMIN_PASSWORD_FILE", str(tmp_path / "password")) if by_file else ("WSAUTH_ADMIN_PASSWORD", PASSWORD)
    )
    async with serving(tmp_path, environ=dict([variable])) as server:
        assert (await server.login("admin", PASSWORD))["permissions"] == ["wsauth:admin"]


async def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    """A port that is taken ends with exit status 2 and names the key."""
    async with serving(tmp_path) as server:
        port = server.http.rpartition(":")[2]
        done = await command(tmp_path, "serve", "--port", port)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "server.port" in done.err


# Ending logins.


async def test_sessions_revoke_closes_the_sockets_of_a_running_server(tmp_path: Path) -> None:
    """By id it closes that login's sockets within a second, reports them, and leaves the others alone."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        first, second = await server.login("alice", PASSWORD), await server.login("alice", PASSWORD)
        async with socket_of(server, first["access_token"]) as mine, socket_of(server, second["access_token"]) as other:
            done = await server.command("sessions", "revoke", first["session_id"], "--json")
            report = done.json()
            assert (done.status, report["matched"], report["closed"], report["complete"]) == (0, 1, 1, True)
            assert (await closed(mine)).startswith("session_revoked;id=")
            await other.send("still here")
            assert await other.recv() == "still here"
        listed = (await server.command("sessions", "list", "--json")).json()
        assert [one["id"] for one in listed] == [second["session_id"]]


@pytest.mark.parametrize("whom", [("--subject", "alice"), ("--all",)])
async def test_two_servers_on_one_store_act_as_one(tmp_path: Path, whom: tuple[str, ...]) -> None:
    """A login at one is good at the other, and a revocation closes its sockets in both and says so."""
    async with serving(tmp_path) as one, serving(tmp_path) as two:
        await one.add_user("alice", PASSWORD)
        token = await token_of(one)
        async with socket_of(one, token) as here, socket_of(two, token) as there:
            done = await one.command("sessions", "revoke", *whom, "--json")
            assert (await closed(here)).startswith("session_revoked;id=")
            assert (await closed(there)).startswith("session_revoked;id=")
            assert done.json()["nodes"] == {"live": 2, "answered": 2, "silent": 0}
            assert done.json()["closed"] == 2
            assert done.json()["slowest_ms"] < AT_ONCE * 1000
        inspected = await two.command("tokens", "inspect", "--json", stdin=token)
        assert (inspected.status, inspected.json()["code"]) == (1, "session_revoked")


async def test_a_killed_server_is_reported_and_finds_what_was_revoked(tmp_path: Path) -> None:
    """What a killed process did not answer is said with exit status 1; the next one refuses what was revoked."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        token = await token_of(server)
        async with socket_of(server, token):
            await server.kill()
        done = await server.command("sessions", "revoke", "--subject", "alice", "--json")
        assert (done.status, done.json()["complete"], done.json()["nodes"]["silent"]) == (1, False, 1)
        assert "not complete" in done.err
    async with serving(tmp_path) as server:
        with pytest.raises(InvalidStatus, match="401"):
            async with socket_of(server, token):
                pass


@pytest.mark.parametrize("verb", ["disable", "remove"])
async def test_a_user_who_may_come_no_more_is_gone_at_once(tmp_path: Path, verb: str) -> None:
    """Disabling and removing a user closes their sockets, and they cannot sign in."""
    async with serving(tmp_path, "--workers", "2") as server:
        await server.add_user("mallory", PASSWORD)
        async with socket_of(server, await token_of(server, "mallory")) as socket:
            done = await server.command("users", verb, "mallory", "--json")
            assert (done.json()["closed"], done.json()["nodes"]["live"]) == (1, 2)
            assert (await closed(socket)).startswith("session_revoked")
        with pytest.raises(AssertionError, match="credentials_invalid"):
            await server.login("mallory", PASSWORD)


async def test_new_roles_reach_open_sockets(tmp_path: Path) -> None:
    """`users set-roles` tells of new rights within a second, and closes what the upstream was told and is gone."""
    config = '[roles]\nmember = ["chat:read"]\nowner = ["chat:*"]\n'
    async with serving(tmp_path, config=config) as server:
        await server.add_user("bob", PASSWORD, roles=["member"])
        async with socket_of(server, await token_of(server, "bob")) as socket:
            done = await server.command("users", "set-roles", "bob", "--role", "member", "--role", "owner")
            assert done.out == "bob: roles member, owner; grants none\n"
            async with asyncio.timeout(AT_ONCE):
                assert '"auth_changed"' in str(await socket.recv())
            await server.command("users", "set-roles", "bob", "--role", "owner")
            assert (await closed(socket)).startswith("rights_changed")


async def test_a_new_password_ends_what_the_old_one_opened(tmp_path: Path) -> None:
    """After `users set-password` the sockets are closed, the old password is wrong and the new one is good."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        fresh = secret("a whole new battery staple", "the new password")
        async with socket_of(server, await token_of(server)) as socket:
            done = await server.command("users", "set-password", "alice", "--password-stdin", stdin=fresh)
            assert done.out.startswith("done; 1 connections matched: 1 closed, 0 cut; 1 of 1 processes answered")
            assert (await closed(socket)).startswith("session_revoked")
        with pytest.raises(AssertionError, match="credentials_invalid"):
            await server.login("alice", PASSWORD)
        assert (await server.login("alice", fresh))["subject"] == "alice"


async def test_a_service_comes_by_its_key(tmp_path: Path) -> None:
    """`users add --service` prints a key that opens a socket, until `set-password --service` makes another one."""
    async with serving(tmp_path) as server:
        key = await server.add_service("reports", roles=["reader"])
        assert key.startswith("wsk_")
        headers = {"Authorization": f"Bearer {key}"}
        async with connect(f"{server.ws}/ws", additional_headers=headers) as socket:
            done = await server.command("users", "set-password", "reports", "--service", "--json")
            assert (await closed(socket)).startswith("token_revoked")
        another = secret(done.json()["api_key"], "the second API key")
        assert (await server.command("tokens", "inspect", "--json", stdin=key)).json()["good"] is False
        assert (await server.command("tokens", "inspect", "--json", stdin=another)).json()["subject"] == "reports"


async def test_a_key_that_was_rotated_and_removed(tmp_path: Path) -> None:
    """A running server signs with the new key at once with --now, and refuses what a removed one signed."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        before = await token_of(server)
        old = (await server.command("keys", "list", "--json")).json()[0]["kid"]
        new = (await server.command("keys", "rotate", "--now", "--json")).json()["kid"]
        async with httpx2.AsyncClient(base_url=server.http) as browser, asyncio.timeout(PATIENCE):
            while new not in (await browser.get("/.well-known/jwks.json")).text:  # noqa: ASYNC110  servers set no event
                await asyncio.sleep(0.05)
        after = await token_of(server)
        assert (await server.command("tokens", "inspect", "--json", stdin=after)).json()["key_id"] == new
        async with socket_of(server, before):
            assert (await server.command("keys", "remove", old)).status == 0
        async with httpx2.AsyncClient(base_url=server.http) as browser, asyncio.timeout(PATIENCE):
            me = browser.build_request("GET", "/auth/me", headers={"Authorization": f"Bearer {before}"})
            while (await browser.send(me)).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        async with socket_of(server, after):
            pass


async def test_inspecting_uses_nothing_up(tmp_path: Path) -> None:
    """Ticket and refresh token are told, and are good afterwards; a refresh token that was followed is good no more."""
    async with serving(tmp_path) as server:
        await server.add_user("alice", PASSWORD)
        login = await server.login("alice", PASSWORD)
        ticket, refresh = await server.ticket(login["access_token"], path="/ws"), login["refresh_token"]
        found = (await server.command("tokens", "inspect", "--json", stdin=ticket)).json()
        assert (found["ours"], found["good"], found["path"]) == (True, True, "/ws")
        async with connect(f"{server.ws}/ws?ticket={ticket}") as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        found = (await server.command("tokens", "inspect", "--json", stdin=refresh)).json()
        assert (found["what"], found["good"], found["session_id"]) == ("refresh token", True, login["session_id"])
        async with httpx2.AsyncClient(base_url=server.http) as browser:
            reply = await browser.post("/auth/refresh", json={"refresh_token": refresh})
        assert secret(reply.json()["refresh_token"], "the next refresh token") != refresh
        secret(reply.json()["access_token"], "the next access token")
        assert (await server.command("tokens", "inspect", "--json", stdin=refresh)).json()["good"] is False
        await server.command("sessions", "revoke", login["session_id"])
        another = await server.command("tokens", "inspect", "--json", stdin=ticket)
        assert (another.status, another.json()["code"]) == (1, "session_revoked")
