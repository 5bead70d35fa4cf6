"""The first user: made once, by whichever of several servers comes first, or by none."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.wsauth_server import command, serving
from tests.wsauth_sockets import Sockets, bearer, echoes, new_password

VARIABLE = "WSAUTH_ADMIN_PASSWORD"


async def test_three_that_start_at_once_make_one_admin(tmp_path: Path) -> None:
    """On an empty folder all three serve, there is one admin, and one login is good at all of them."""
    password = new_password("admin")
    environ = {VARIABLE: password}
    async with AsyncExitStack() as stack, Sockets() as sockets:
        servers = await asyncio.gather(
            *(stack.enter_async_context(serving(tmp_path, environ=environ)) for _ in range(3))
        )
        assert sum("The user admin was made" in server.output() for server in servers) == 1
        users = (await servers[0].command("users", "list", "--json")).json()
        assert [(user["username"], user["grants"]) for user in users] == [("admin", ["wsauth:admin"])]
        token = (await servers[0].login("admin", password))["access_token"]
        for server in servers:
            await server.login("admin", password)
            assert await echoes(await sockets.open(server, token))
            async with httpx2.AsyncClient(base_url=server.admin, trust_env=False, headers=bearer(token)) as client:
                assert (await client.get("/admin/api/users")).status_code == 200
        assert not [server.output() for server in servers if "Traceback" in server.output()]


@pytest.mark.parametrize("by", ["the variable", "a file"])
async def test_a_short_first_password_is_refused_in_one_line(tmp_path: Path, by: str) -> None:
    """It ends with status 2 and one line that names the variable and not the password; nobody is made."""
    (tmp_path / "password").write_text("tiny-pw\n")
    environ: Mapping[str, str] = (
        {VARIABLE: "tiny-pw"} if by == "the variable" else {f"{VARIABLE}_FILE": str(tmp_path / "password")}
    )
    done = await command(tmp_path, "serve", environ=environ)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"wsauth: {VARIABLE}: ")
    assert (done.err.count("\n"), "tiny-pw" in done.err) == (1, False)
    assert json.loads((await command(tmp_path, "users", "list", "--json")).out) == []
    password = new_password("admin")
    async with serving(tmp_path, environ={VARIABLE: password}) as server:
        assert "The user admin was made" in server.output()
        await server.login("admin", password)


async def test_a_later_start_leaves_the_admin_as_it_is(tmp_path: Path) -> None:
    """With another password in the variable, even a short one, the users that there are stay, and it serves."""
    password, other = new_password("admin"), new_password("admin")
    async with serving(tmp_path, environ={VARIABLE: password}):
        pass
    for value in (other, "tiny-pw"):
        async with serving(tmp_path, environ={VARIABLE: value}) as server:
            assert "was made" not in server.output()
            await server.login("admin", password)
