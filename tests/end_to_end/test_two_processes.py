"""Several `wsauth serve` on one store act as one: orders, tickets, rights, and everything that ends a login."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.attacks.wire import Wire, request, wire
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import (
    Sockets,
    admin,
    called,
    echoes,
    endings,
    eventually,
    is_ready,
    new_password,
    people,
    port_of,
    refusal,
)

SPEAKS: Final = "Sec-WebSocket-Protocol: wsauth.v1"
RIGHTS: Final = """
[roles]
moderator = ["chat:moderate"]

[[routes]]
path = "/ws"
upstream = "echo"
on_rights_change = "keep"

[[routes]]
path = "/told"
upstream = "echo"

[[routes]]
path = "/moderate"
upstream = "echo"
require = ["chat:moderate"]
"""
IMPATIENT: Final = '[store]\nfeed_timeout = "1s"\n'


@asynccontextmanager
async def several(folder: Path, count: int, config: str = "") -> AsyncGenerator[list[Serving]]:
    """Run so many servers on one store, which is made by whichever comes first."""
    (folder / "wsauth.toml").write_text(config, "utf-8")
    async with AsyncExitStack() as stack:
        yield list(await asyncio.gather(*(stack.enter_async_context(serving(folder)) for _ in range(count))))


async def tokens_of(at: Serving, *names: str, roles: tuple[str, ...] = ()) -> list[str]:
    """Add users, and return an access token of each."""
    password = await people(at, names, roles=roles)
    return [(await at.login(name, password))["access_token"] for name in names]


# A suspended process.


async def test_a_suspended_process_is_reported_silent_until_it_goes_on(tmp_path: Path) -> None:
    """A revocation is 202 with one silent node after 2 s; after SIGCONT the socket closes at once and GET says so."""
    async with several(tmp_path, 2) as (first, second), Sockets() as sockets:
        key = await first.add_service("ops", grants=["wsauth:revoke"])
        (alice,) = await tokens_of(first, "alice")
        here, there = await sockets.open(first, alice), await sockets.open(second, alice)
        os.killpg(second.pid, signal.SIGSTOP)
        try:
            async with admin(first, key) as api:
                began = time.monotonic()
                answer = await api.post("/revocations", json={"subject": "alice"})
                assert 1.9 < time.monotonic() - began < 4
                report = answer.json()
                assert (answer.status_code, report["complete"], report["matched"]) == (202, False, 1)
                assert report["nodes"] == {"live": 2, "answered": 1, "silent": 1}
                assert (await here.closed()).reason == "session_revoked"
                os.killpg(second.pid, signal.SIGCONT)
                (end,) = await endings([there], within=1)
                assert (end.close_code, end.reason) == (3000, "session_revoked")

                async def done() -> dict[str, Any]:
                    found: dict[str, Any] = (await api.get(f"/revocations/{report['id']}")).json()
                    return found if found["complete"] else {}

                later = await eventually(done, within=1)
                assert (later["matched"], later["closed"] + later["cut"]) == (2, 2)
                assert later["nodes"] == {"live": 2, "answered": 2, "silent": 0}
        finally:
            os.killpg(second.pid, signal.SIGCONT)


async def test_a_process_that_slept_through_a_revocation_grants_nothing_before_it_has_read_it(tmp_path: Path) -> None:
    """Handshakes that waited for the suspended process with a token revoked meanwhile open nothing, every time."""
    async with several(tmp_path, 2, IMPATIENT) as (first, second):
        key = await first.add_service("ops", grants=["wsauth:revoke"])
        names = [f"mallory-{round_}" for round_ in range(3)]
        bob, *tokens = await tokens_of(first, "bob", *names)
        for name, mallory in zip(names, tokens, strict=True):
            os.killpg(second.pid, signal.SIGSTOP)
            try:
                waiting = [asyncio.ensure_future(refusal(second, mallory)) for _ in range(10)]
                body = {"subject": name}
                revoking = asyncio.ensure_future(called("POST", f"{first.admin}/admin/api/revocations", key, body))
                await asyncio.sleep(1.2)  # longer than feed_timeout
            finally:
                os.killpg(second.pid, signal.SIGCONT)
            assert (await revoking).status_code == 200
            answers = await asyncio.gather(*waiting)
            assert {answer.code for answer in answers} <= {"unavailable", "session_revoked"}, answers

        async def granted() -> bool:
            return (await refusal(second, bob)).status == 101

        assert await eventually(granted)


async def test_a_process_that_wakes_up_without_its_feed_grants_nothing(tmp_path: Path) -> None:
    """Suspended for longer than feed_timeout, it answers 503 until it has read the feed again, then 101."""
    store, aside = tmp_path / "wsauth.db", tmp_path / "aside.db"
    async with serving(tmp_path, config=IMPATIENT) as server:
        (bob,) = await tokens_of(server, "bob")
        os.killpg(server.pid, signal.SIGSTOP)
        try:
            store.rename(aside)
            await asyncio.sleep(1.2)  # longer than feed_timeout
        finally:
            os.killpg(server.pid, signal.SIGCONT)
        answer = await refusal(server, bob)
        assert (answer.status, answer.code, answer.header("retry-after")) == (503, "unavailable", "1")
        assert await is_ready(server) == "feed"
        aside.rename(store)

        async def granted() -> bool:
            return (await refusal(server, bob)).status == 101

        assert await eventually(granted)


# Tickets.


async def test_a_ticket_opens_one_socket_of_a_hundred_in_four_processes(tmp_path: Path) -> None:
    """However many redeem it at once and wherever, exactly one gets 101 and the others `ticket_invalid`."""
    async with several(tmp_path, 4) as servers:
        (alice,) = await tokens_of(servers[0], "alice")
        for _ in range(2):
            ticket = await servers[0].ticket(alice, path="/ws")

            async def redeemed(number: int, ticket: str = ticket) -> tuple[int, str]:
                port = port_of(servers[number % len(servers)].http)
                async with wire(port, request(f"/ws?ticket={ticket}")) as socket:
                    answer = await socket.answer()
                    return answer.status, answer.code

            answers = Counter(await asyncio.gather(*(redeemed(number) for number in range(100))))
            assert answers == {(101, ""): 1, (401, "ticket_invalid"): 99}


# Rights.


async def changed(socket: Wire, kind: str = "auth_changed") -> dict[str, Any]:
    """Return the next control message, which comes within a second."""
    return await socket.message(kind, within=1)


async def test_changed_roles_reach_open_connections_everywhere_within_a_second(tmp_path: Path) -> None:
    """`users set-roles` and the admin API send `auth_changed` in both processes, or close what was told."""
    async with several(tmp_path, 2, RIGHTS) as servers, Sockets() as sockets:
        first, _ = servers
        key = await first.add_service("ops", grants=["wsauth:admin"])
        alice, bob = await tokens_of(first, "alice", "bob", roles=("moderator",))
        hers = [await sockets.open(server, alice, "/ws", SPEAKS) for server in servers]
        told = [await sockets.open(server, alice, "/told", SPEAKS) for server in servers]
        privileged = [await sockets.open(server, alice, "/moderate", SPEAKS) for server in servers]
        his = [await sockets.open(server, bob, "/moderate") for server in servers]
        for socket in (*hers, *told, *privileged):
            assert (await socket.message("auth_success"))["roles"] == ["moderator"]

        done = await first.command("users", "set-roles", "alice", "--role", "member")
        assert done.status == 0, done.err
        for socket in hers:
            message = await changed(socket)
            assert (message["roles"], message["permissions"]) == (["member"], [])
        for end in await endings(privileged, within=1):
            assert (end.close_code, end.reason) == (3003, "permission_denied")
        for end in await endings(told, within=1):
            assert (end.close_code, end.reason) == (1012, "rights_changed")
        for server in servers:
            assert (await refusal(server, alice, "/moderate")).code == "permission_denied"
        assert all([await echoes(socket) for socket in (*hers, *his)])

        async with admin(first, key) as api:
            assert (await api.patch("/users/alice", json={"roles": ["moderator"]})).status_code == 200
        for socket in hers:
            message = await changed(socket)
            assert (message["roles"], message["permissions"]) == (["moderator"], ["chat:moderate"])
        for server in servers:
            assert (await refusal(server, alice, "/moderate")).status == 101


# Everything that ends a login.


@dataclass(frozen=True)
class Login:
    """Be one of the two logins of somebody, with a socket in each process."""

    access_token: str
    refresh_token: str
    session_id: str
    sockets: list[Wire]


@dataclass(frozen=True)
class Ending:
    """Be the scene of one ending: who, and their two logins."""

    server: Serving
    key: str
    name: str
    password: str
    one: Login
    two: Login


async def _command(scene: Ending, *arguments: str, stdin: str = "") -> None:
    done = await scene.server.command(*arguments, stdin=stdin)
    assert done.status == 0, done.err


async def _called(scene: Ending, call: str, token: str = "", body: Any = None, *, status: int = 204) -> None:
    method, _, path = call.partition(" ")
    answer = await called(method, scene.server.http + path, token, body)
    assert answer.status_code == status, answer.text


async def _administered(scene: Ending, method: str, path: str, body: Any = None) -> None:
    answer = await called(method, f"{scene.server.admin}/admin/api{path}", scene.key, body)
    assert answer.status_code == 200, answer.text
    report = answer.json().get("report", answer.json())
    assert report["complete"] is True
    assert report["matched"] == report["closed"] + report["cut"] > 0


async def _disable(scene: Ending) -> None:
    await _command(scene, "users", "disable", scene.name)


async def _remove(scene: Ending) -> None:
    await _command(scene, "users", "remove", scene.name)


async def _set_password(scene: Ending) -> None:
    new = new_password(scene.name)
    await _command(scene, "users", "set-password", scene.name, "--password-stdin", stdin=f"{new}\n")


async def _revoke_session(scene: Ending) -> None:
    await _command(scene, "sessions", "revoke", scene.two.session_id)


async def _revoke_subject(scene: Ending) -> None:
    await _command(scene, "sessions", "revoke", "--subject", scene.name)


async def _change_password(scene: Ending) -> None:
    body = {"current_password": scene.password, "new_password": new_password(scene.name)}
    await _called(scene, "PUT /auth/password", scene.one.access_token, body)


async def _log_out(scene: Ending) -> None:
    await _called(scene, "POST /auth/logout", scene.two.access_token)


async def _end_one(scene: Ending) -> None:
    await _called(scene, f"DELETE /auth/sessions/{scene.two.session_id}", scene.one.access_token)


async def _end_all(scene: Ending) -> None:
    await _called(scene, "DELETE /auth/sessions", scene.one.access_token)


async def _reuse(scene: Ending) -> None:
    body = {"refresh_token": scene.two.refresh_token}
    for _ in range(2):
        answer = await called("POST", f"{scene.server.http}/auth/refresh", body=body)
        assert answer.status_code == 200, answer.text
        body = {"refresh_token": answer.json()["refresh_token"]}
    await _called(scene, "POST /auth/refresh", body={"refresh_token": scene.two.refresh_token}, status=401)


async def _admin_disable(scene: Ending) -> None:
    await _administered(scene, "PATCH", f"/users/{scene.name}", {"disabled": True})


async def _admin_reset(scene: Ending) -> None:
    await _administered(scene, "PATCH", f"/users/{scene.name}", {"reset_password": True})


async def _admin_remove(scene: Ending) -> None:
    await _administered(scene, "DELETE", f"/users/{scene.name}")


async def _admin_end(scene: Ending) -> None:
    await _administered(scene, "DELETE", f"/sessions/{scene.two.session_id}")


BOTH: Final[Mapping[str, Callable[[Ending], Awaitable[None]]]] = {
    "disable": _disable,
    "remove": _remove,
    "set-password": _set_password,
    "revoke-subject": _revoke_subject,
    "end-all": _end_all,
    "admin-disable": _admin_disable,
    "admin-reset": _admin_reset,
    "admin-remove": _admin_remove,
}
ONE: Final[Mapping[str, Callable[[Ending], Awaitable[None]]]] = {
    "revoke-session": _revoke_session,
    "change-password": _change_password,
    "log-out": _log_out,
    "end-one": _end_one,
    "reuse": _reuse,
    "admin-end": _admin_end,
}


async def _login(servers: list[Serving], sockets: Sockets, name: str, password: str) -> Login:
    answer = await servers[0].login(name, password)
    opened = [await sockets.open(server, answer["access_token"]) for server in servers]
    return Login(answer["access_token"], answer["refresh_token"], answer["session_id"], opened)


@pytest.mark.parametrize("which", ["both", "one"])
async def test_what_ends_a_login_closes_its_sockets_in_both_processes_and_nothing_else(
    tmp_path: Path, which: str
) -> None:
    """Of each way to end one login or both, exactly those sockets close with `session_revoked`, the token is dead."""
    endings_of = BOTH if which == "both" else ONE
    async with several(tmp_path, 2) as servers, Sockets() as sockets:
        key = await servers[0].add_service("ops", grants=["wsauth:admin"])
        password = await people(servers[0], ["bob", *(f"alice-{what}" for what in endings_of)])
        bob = await _login(servers, sockets, "bob", password)
        for what, act in endings_of.items():
            name = f"alice-{what}"
            one = await _login(servers, sockets, name, password)
            two = await _login(servers, sockets, name, password)
            await act(Ending(servers[0], key, name, password, one, two))
            dead = [two] if which == "one" else [one, two]
            for login in dead:
                for end in await endings(login.sockets, within=1):
                    assert (end.close_code, end.reason) == (3000, "session_revoked"), what
                for server in servers:
                    assert (await refusal(server, login.access_token)).code == "session_revoked", what
                answer = await called(
                    "POST", f"{servers[0].http}/auth/refresh", body={"refresh_token": login.refresh_token}
                )
                assert (answer.status_code, answer.json()["code"]) == (401, "session_revoked"), what
            if which == "one":
                assert all([await echoes(socket) for socket in one.sockets]), what
                assert (await refusal(servers[1], one.access_token)).status == 101, what
            assert all([await echoes(socket) for socket in bob.sockets]), what


async def test_a_dead_token_stays_dead_in_whatever_starts_later(tmp_path: Path) -> None:
    """After kill -9 of both, processes that start on the store refuse what was revoked, and take what was not."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(tmp_path)) for _ in range(2)]
        alice, bob = await tokens_of(servers[0], "alice", "bob")
        assert (await called("POST", f"{servers[0].http}/auth/logout", alice)).status_code == 204
        for server in servers:
            await server.kill()
        for _ in range(2):
            later = await stack.enter_async_context(serving(tmp_path))
            assert (await refusal(later, alice)).code == "session_revoked"
            assert (await refusal(later, bob)).status == 101
            assert json.loads((await called("GET", f"{later.http}/auth/me", bob)).text)["subject"] == "bob"
