"""Blocks on a real server: by order, and after too many guesses, over a trusted proxy's addresses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.end_to_end.administering import Office, closed, office, opened
from tests.wsauth_server import Serving
from tests.wsauth_sockets import called, eventually, refusal

PASSWORD = "four white rabbits and a watch"
MALLORY, HONEST = "203.0.113.7", "198.51.100.9"
EXEMPT = "127.0.0.2"
"""By the environment that the tests' servers have."""
BEHIND = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'


async def login(server: Serving, address: str, password: str, name: str = "bob") -> tuple[int, dict[str, Any]]:
    """Log in from an address, as a trusted proxy tells it."""
    body = {"username": name, "password": password}
    reply = await called("POST", f"{server.http}/auth/login", "", body, **{"X-Forwarded-For": address})
    return reply.status_code, reply.json()


async def test_an_ordered_block_refuses_everybody_until_it_is_removed(tmp_path: Path) -> None:
    """Sockets from there are closed, good tokens and passwords refused with 403, and others go on; then all is well."""
    (tmp_path / "wsauth.toml").write_text(BEHIND, "utf-8")
    async with office(tmp_path) as at:
        server = at.server
        await server.add_user("bob", PASSWORD)
        tokens = (await login(server, MALLORY, PASSWORD))[1]
        token, refresh = tokens["access_token"], {"refresh_token": tokens["refresh_token"]}
        way = {"X-Forwarded-For": MALLORY}
        async with opened(server, token=token) as here, opened_from(server, token, MALLORY) as there:
            added = await server.command("blocks", "add", MALLORY, "--for", "1h", "--reason", "scans")
            assert added.status == 0, added.err
            assert await closed(there) == "1013 address_blocked;retry_after=3600"
            await here.send("still here")
            assert await here.recv() == "still here"
            status, problem = await login(server, MALLORY, PASSWORD)
            assert (status, problem["code"]) == (403, "address_blocked")
            assert 3590 < problem["retry_after"] <= 3600
            assert (await called("GET", f"{server.http}/auth/me", token, **way)).status_code == 403
            assert (await refusal(server, token, "/ws", f"X-Forwarded-For: {MALLORY}")).status == 403
            renewed = await called("POST", f"{server.http}/auth/refresh", "", refresh, **way)
            assert (renewed.status_code, renewed.json()["code"]) == (403, "address_blocked")
            assert (await login(server, HONEST, PASSWORD))[0] == 200
            why = await server.command("why", problem["id"])
            assert "203.0.113.7/32 is blocked: scans; wsauth blocks remove 203.0.113.7/32" in why.out
            listed = (await at.get("/blocks"))["items"]
            assert [(one["network"], one["automatic"]) for one in listed] == [("203.0.113.7/32", False)]
            key = await at.add_service("prometheus", "wsauth:metrics")
            numbers = await at.http.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            assert "wsauth_blocks 1.0" in numbers.text.splitlines()
        await at.do("DELETE", f"/blocks/{MALLORY}/32", status=204)
        assert await eventually(lambda: admitted(server, token))
        events = (await server.command("audit", "list", "--json", "--event", "authz_admin")).out
        assert events.count('"kind": "BlockChanged"') + events.count('"kind":"BlockChanged"') == 2


def opened_from(server: Serving, token: str, address: str) -> Any:
    """Open a socket from an address."""
    headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {token}"} if token else {})
    return connect(f"{server.http.replace('http', 'ws', 1)}/ws", additional_headers=headers)


async def admitted(server: Serving, token: str) -> bool:
    """Tell whether Mallory's address may come in."""
    reply = await called("GET", f"{server.http}/auth/me", token, **{"X-Forwarded-For": MALLORY})
    return reply.status_code == 200


async def test_guessing_blocks_an_address_and_nobody_else(tmp_path: Path) -> None:
    """After so many distinct guesses strangers and passwords are refused from there; a token and others are not."""
    (tmp_path / "wsauth.toml").write_text(f'{BEHIND}[monitoring]\nblock_after = "6/10m"\nblock_for = "10m"\n', "utf-8")
    async with office(tmp_path) as at:
        server = at.server
        await server.add_user("bob", PASSWORD)
        token = (await login(server, MALLORY, PASSWORD))[1]["access_token"]
        for _ in range(3):
            for number in range(4):
                status, _ = await login(server, MALLORY, f"one of few guesses {number}", "carol")
                assert status in (401, 429)
        assert (await login(server, MALLORY, PASSWORD))[0] == 200, "the same guesses again count once"
        for number in range(3):
            await login(server, MALLORY, f"another guess {number}", f"dave{number}")
        status, problem = await login(server, MALLORY, PASSWORD)
        assert (status, problem["code"]) == (403, "address_blocked")
        with pytest.raises(InvalidStatus, match="403"):
            async with opened_from(server, "", MALLORY):
                pass
        async with opened_from(server, token, MALLORY) as socket:
            await socket.send("a token passes")
            assert await socket.recv() == "a token passes"
        assert (await login(server, HONEST, PASSWORD))[0] == 200
        (listed,) = (await at.get("/blocks"))["items"]
        assert listed["automatic"]
        assert listed["reason"] == "more than 6 in 600 s wrong credentials"


async def test_exempt_networks_are_never_blocked(tmp_path: Path) -> None:
    """Neither by guessing nor by order."""
    (tmp_path / "wsauth.toml").write_text(f'{BEHIND}[monitoring]\nblock_after = "2/10m"\n', "utf-8")
    async with office(tmp_path) as at:
        await at.server.add_user("bob", PASSWORD)
        await asyncio.gather(*(login(at.server, EXEMPT, f"guess {n}", f"eve{n}") for n in range(5)))
        assert (await at.get("/blocks"))["items"] == []
        await at.do("POST", "/blocks", {"network": EXEMPT}, status=201)
        assert (await login(at.server, EXEMPT, PASSWORD))[0] == 200


async def test_the_admin_listener_is_never_blocked(tmp_path: Path) -> None:
    """Whoever blocks their own network can still take that back."""
    async with office(tmp_path, environ={"WSAUTH__LIMITS__EXEMPT": "[]"}) as at:
        await at.do("POST", "/blocks", {"network": "127.0.0.0/8"}, status=201)
        reply = await called("GET", f"{at.server.http}/auth/me", "x.y.z")
        assert (reply.status_code, reply.json()["code"]) == (403, "address_blocked")
        await at.do("DELETE", "/blocks/127.0.0.0/8", status=204)
        assert (await called("GET", f"{at.server.http}/auth/me", "x.y.z")).status_code == 401


async def test_what_is_written_wrong_is_told(tmp_path: Path) -> None:
    """A name, everybody, a bad time and an unknown block are refused in one line."""
    async with office(tmp_path) as at:
        await told(at, ("add", "example.com"), "neither an address nor a network")
        await told(at, ("add", "0.0.0.0/0"), "is everybody")
        await told(at, ("add", "10.0.0.1", "--for", "soon"), "--for")
        await told(at, ("remove", "10.0.0.1"), "10.0.0.1/32 is not blocked")
        assert (await at.server.command("blocks", "list", "--json")).json() == []
        reply = await at.ask("POST", "/blocks", {"network": "10.0.0.1/8"})
        assert reply.status_code == 400
        assert "neither an address nor a network" in reply.text


async def told(at: Office, arguments: tuple[str, ...], text: str) -> None:
    """Run a command that is wrong."""
    done = await at.server.command("blocks", *arguments)
    assert done.status == 2
    assert text in done.err
    assert done.err.count("\n") == 1
