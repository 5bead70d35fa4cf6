"""ATTACKS.md, group "Sessions and refresh rotation", against the real server: every test is named by its row."""

import asyncio
import json
import os
import sqlite3
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.attacks.plane import (
    ORIGIN,
    PASSWORD,
    Page,
    Plane,
    bearer,
    cookie_of,
    ending,
    explained,
    lines,
    nobody,
    plane,
    quiet,
    refused,
    said,
    serves_the_next,
    turned_away,
)
from tests.leaks import secret
from tests.wsauth_server import ROOT
from wsauth import Identity
from wsauth.core.sessions import Limits
from wsauth.services.clock import SystemClock
from wsauth.services.keyfile import KeyFile
from wsauth.services.tickets import MemoryTicketStore, SignedTickets

GRACE = 1.0
CONFIG = f"""
[server]
origins = ["{ORIGIN}"]
drain_timeout = "0s"

[tokens]
refresh_grace = "{GRACE:.0f}s"

[roles]
member = ["chat:read"]
"""
SHORT = """
[server]
origins = ["https://app.example.com"]
drain_timeout = "0s"

[tokens]
access_ttl = "2s"
session_ttl = "4s"

[[routes]]
path = "/ws"
upstream = "echo"
grace = "1s"
"""


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Plane]:
    """Run the server that most of these attack."""
    async with plane(tmp_path_factory.mktemp("sessions"), CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
async def running_short(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Plane]:
    """Run a server whose tokens live two seconds and whose sessions live four."""
    async with plane(tmp_path_factory.mktemp("short"), SHORT) as server:
        yield server


@pytest.fixture
async def target(running: Plane) -> AsyncGenerator[Plane]:
    """Lend the server, and see afterwards that the same process serves the next client."""
    yield running
    await serves_the_next(running)


@pytest.fixture
async def short(running_short: Plane) -> AsyncGenerator[Plane]:
    """Lend the server of short lives, and see afterwards that the same process serves the next client."""
    yield running_short
    await serves_the_next(running_short)


async def opened(stack: AsyncExitStack, server: Plane, token: str, count: int) -> list[ClientConnection]:
    """Return so many open sockets of whoever has this token."""
    sockets = [await stack.enter_async_context(server.as_(token)) for _ in range(count)]
    for socket in sockets:
        await quiet(socket)
    return sockets


async def all_end(server: Plane, sockets: Sequence[ClientConnection], code: str, within: float = 1.0) -> None:
    """See that these sockets are closed in time with this code, each with one line in the log."""
    ends = await asyncio.gather(*(ending(socket, within) for socket in sockets))
    assert {code for code, _ in ends} == {code}
    assert {socket.close_code for socket in sockets} == {3000}
    for _, refusal_id in ends:
        assert "Closed" in await explained(server, refusal_id)


async def dead(server: Plane, token: str) -> None:
    """See that an access token of an ended session opens nothing."""
    await refused(server, await server.http.get("/auth/me", headers=bearer(token)), 401, "session_revoked")
    assert await turned_away(server, server.as_(token)) == "session_revoked"


async def cookie_is_dead(server: Plane, page: Page) -> None:
    """See that the cookie of an ended session opens nothing."""
    await refused(server, await server.http.get("/auth/me", headers=page.jar), 401, "session_revoked")
    assert await turned_away(server, page.open()) == "session_revoked"


# Making them.


async def test_se_01_nothing_that_is_handed_out_can_be_guessed(target: Plane) -> None:
    """Ids, tokens, tickets and proofs of real logins are unique, and carry 128 random bits or more."""
    logins = [await target.login("alice") for _ in range(3)]
    pages = [await target.page("alice") for _ in range(2)]
    seen: list[str] = [login["session_id"] for login in logins] + [page.session_id for page in pages]
    assert all(len(urlsafe_b64decode(handle)) >= 16 for handle in seen)
    last = logins[0]
    for _ in range(60):
        last = (await target.refresh(last["refresh_token"])).json()
        seen += [last["refresh_token"], jwt.decode(last["access_token"], options={"verify_signature": False})["jti"]]
    seen += [page.csrf_token for page in pages] + [page.cookie for page in pages]
    for _ in range(60):
        ticket = await target.ticket(last["access_token"])
        seen.append(json.loads(urlsafe_b64decode(ticket.partition(".")[0] + "=="))[0])
    assert len(set(seen)) == len(seen)


async def test_se_01_tickets_have_no_structure() -> None:
    """Each of the 192 bits of 20,000 tickets' ids is one as often as zero, and none comes twice."""
    limits = Limits(access=300, idle=300, absolute=300, grace=0)
    tickets = SignedTickets(MemoryTicketStore(), KeyFile.in_memory(), limits, SystemClock(), ttl=30)
    count = 20_000
    drawn = []
    alice = Identity("alice", issuer="https://login.example.com")
    for _ in range(count):
        payload = (await tickets.issue(alice, None, None)).partition(".")[0]
        drawn.append(int.from_bytes(urlsafe_b64decode(json.loads(urlsafe_b64decode(payload + "=="))[0])))
    assert len(set(drawn)) == count
    ones = [sum(number >> bit & 1 for number in drawn) / count for bit in range(192)]
    assert all(0.47 < share < 0.53 for share in ones)


async def test_se_02_a_login_takes_a_new_id_and_ends_the_one_before(target: Plane) -> None:
    """A cookie that Mallory planted before the login is dead after it, and the new one is another."""
    before = await target.page("alice")
    after = await target.page("alice", **{target.cookie: before.cookie})
    assert after.session_id != before.session_id
    assert after.cookie != before.cookie
    await cookie_is_dead(target, before)
    async with after.open() as socket:
        await quiet(socket)


async def test_se_02_a_password_change_takes_a_new_cookie_and_ends_the_others(target: Plane) -> None:
    """After a change of password only the page that changed it goes on, under a new cookie."""
    page, other, login = await target.page("erin"), await target.page("erin"), await target.login("erin")
    changed = secret("another password of hers, long enough", "Erin's new password")
    reply = await page.ask("PUT", "/auth/password", json={"current_password": PASSWORD, "new_password": changed})
    assert reply.status_code == 204, reply.text
    renewed = cookie_of(reply, target.cookie)
    assert renewed != page.cookie
    for gone in (page, other):
        await cookie_is_dead(target, gone)
    await dead(target, login["access_token"])
    await refused(target, await target.refresh(login["refresh_token"]), 401, "session_revoked")
    me = await target.http.get("/auth/me", headers={"Cookie": f"{target.cookie}={renewed}"})
    assert me.json()["subject"] == "erin"
    assert len(said(target, "PasswordChanged", "erin")) == 1


@pytest.mark.parametrize("chosen", ["attackerchosen", f"wsc.{'A' * 32}.0.{'A' * 43}"])
async def test_se_03_an_id_that_the_client_chose_is_not_adopted(target: Plane, chosen: str) -> None:
    """What was in the cookie before a login is in no cookie after it, and opens nothing."""
    page = await target.page("alice", **{target.cookie: chosen})
    assert chosen not in page.cookie
    assert page.session_id not in chosen
    planted = {"Cookie": f"{target.cookie}={chosen}"}
    await refused(target, await target.http.get("/auth/me", headers=planted), 401, "credentials_invalid")
    await turned_away(target, target.open(headers={"Origin": ORIGIN, **planted}))


# Their time.


async def test_se_05_nothing_goes_on_past_the_absolute_end(short: Plane) -> None:
    """A busy socket that is refreshed again and again is closed at the session's end, and so is every way back."""
    began = time.monotonic()
    page, login = await short.page("alice"), await short.login("bob")
    token = login["refresh_token"]
    async with page.open() as socket:
        while time.monotonic() - began < 3.4:
            assert (await page.ask("POST", "/auth/refresh")).status_code == 200
            reply = await short.refresh(token)
            assert reply.status_code == 200
            token = reply.json()["refresh_token"]
            await quiet(socket)
            await asyncio.sleep(0.3)
        code, refusal_id = await ending(socket)
        assert code in ("token_expired", "session_revoked")
        assert socket.close_code == 3000
        assert 3.5 < time.monotonic() - began < 6.5
    await explained(short, refusal_id)
    await refused(short, await short.refresh(token), 401, "session_revoked")
    # Who acts with an ended cookie proves the cookie first, so it is refused for its session.
    await refused(short, await page.ask("POST", "/auth/refresh"), 401, "session_revoked")
    await cookie_is_dead(short, page)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_se_06_a_token_that_ends_ends_its_socket(short: Plane, busy: bool) -> None:
    """At the token's end nothing passes any more, the client is told, and after the grace the socket is closed."""
    login = await short.login("alice")
    exp = jwt.decode(login["access_token"], options={"verify_signature": False})["exp"]
    echoed: list[float] = []
    told: list[str] = []
    async with short.as_(login["access_token"], subprotocols=["wsauth.v1"]) as socket:

        async def talk() -> None:
            while True:
                await socket.send("busy")
                await asyncio.sleep(0.05)

        talking = asyncio.ensure_future(talk()) if busy else None
        try:
            async with asyncio.timeout(6):
                while True:
                    message = await socket.recv()
                    if message == "busy":
                        echoed.append(time.time())
                    else:
                        told.append(json.loads(message)["type"])
        except ConnectionClosed:
            pass
        finally:
            if talking is not None:
                talking.cancel()
        assert socket.close_code == 3000
        assert socket.close_reason is not None
        assert socket.close_reason.startswith("token_expired;id=")
        assert exp <= time.time() < exp + 2.5
    assert told[0] == "auth_success"
    assert told[-2:] == ["auth_error", "auth_error"]
    assert bool(echoed) == busy
    assert all(at < exp + 0.2 for at in echoed)
    await refused(short, await short.http.get("/auth/me", headers=bearer(login["access_token"])), 401, "token_expired")


# Their end.


async def test_se_07_a_logout_ends_the_session_and_nothing_else(target: Plane) -> None:
    """Of eight sockets the five of the session are closed; its tokens and its ticket are dead."""
    login, other = await target.login("bob"), await target.login("bob")
    async with AsyncExitStack() as stack:
        three = await opened(stack, target, other["access_token"], 3)
        five = await opened(stack, target, login["access_token"], 5)
        ticket = await target.ticket(login["access_token"])
        reply = await target.http.post("/auth/logout", headers=bearer(login["access_token"]))
        assert reply.status_code == 204
        await all_end(target, five, "session_revoked")
        for socket in three:
            await quiet(socket)
    assert await turned_away(target, target.open(f"/ws?ticket={ticket}")) in ("ticket_invalid", "session_revoked")
    await dead(target, login["access_token"])
    await refused(target, await target.refresh(login["refresh_token"]), 401, "session_revoked")
    assert len(await lines(target, "SessionEnded", login["session_id"])) == 1


async def test_se_07_a_logout_clears_the_cookie(target: Plane) -> None:
    """The page's five sockets are closed, its cookie is taken away and dead, and so is its ticket; three stay open."""
    page, other = await target.page("bob"), await target.page("bob")
    async with AsyncExitStack() as stack:
        three = [await stack.enter_async_context(other.open()) for _ in range(3)]
        five = [await stack.enter_async_context(page.open()) for _ in range(5)]
        reply = await page.ask("POST", "/auth/ticket", json={})
        ticket = secret(reply.json()["ticket"], "a ticket")
        reply = await page.ask("POST", "/auth/logout")
        assert reply.status_code == 204
        assert reply.headers["set-cookie"].startswith(f"{target.cookie}=; Path=/; Max-Age=0;")
        await all_end(target, five, "session_revoked")
        for socket in three:
            await quiet(socket)
    opening = target.open(f"/ws?ticket={ticket}", headers={"Origin": ORIGIN})
    assert await turned_away(target, opening) in ("ticket_invalid", "session_revoked")
    await cookie_is_dead(target, page)
    assert len(await lines(target, "SessionEnded", page.session_id)) == 1


@pytest.mark.parametrize(("name", "verb"), [("carol", "disable"), ("dave", "remove")])
async def test_se_09_whoever_is_disabled_or_removed_is_out(target: Plane, name: str, verb: str) -> None:
    """Sockets, tokens, cookies and tickets of a user end with the account, and no login makes new ones."""
    login, page = await target.login(name), await target.page(name)
    ticket = await target.ticket(login["access_token"])
    async with AsyncExitStack() as stack:
        sockets = await opened(stack, target, login["access_token"], 2)
        sockets.append(await stack.enter_async_context(page.open()))
        done = await target.serving.command("users", verb, name)
        assert done.status == 0, done.err
        await all_end(target, sockets, "session_revoked")
    await dead(target, login["access_token"])
    await cookie_is_dead(target, page)
    await refused(target, await target.refresh(login["refresh_token"]), 401, "session_revoked")
    assert await turned_away(target, target.open(f"/ws?ticket={ticket}")) in ("ticket_invalid", "session_revoked")
    again = await target.http.post("/auth/login", json={"username": name, "password": PASSWORD})
    await refused(target, again, 401, "credentials_invalid")


async def test_se_09_the_key_of_a_disabled_service_is_dead(target: Plane) -> None:
    """A service's sockets close and its API key opens nothing within a second of its end."""
    key = target.keys["robot"]
    async with AsyncExitStack() as stack:
        sockets = await opened(stack, target, key, 2)
        ticket = await target.ticket(key)
        done = await target.serving.command("users", "disable", "robot")
        assert done.status == 0, done.err
        await all_end(target, sockets, "token_revoked")
    await refused(target, await target.http.get("/auth/me", headers=bearer(key)), 401, "token_invalid", "token_revoked")
    assert await turned_away(target, target.as_(key)) in ("token_invalid", "token_revoked")
    assert await turned_away(target, target.open(f"/ws?ticket={ticket}")) in ("ticket_invalid", "token_revoked")


# Refresh rotation.


async def test_se_10_an_old_refresh_token_ends_the_whole_session(target: Plane) -> None:
    """R1 after R2 was used: nothing of the session is good any more, its sockets are closed, and the log says why."""
    login = await target.login("alice")
    second = (await target.refresh(login["refresh_token"])).json()
    third = (await target.refresh(second["refresh_token"])).json()
    async with AsyncExitStack() as stack:
        sockets = await opened(stack, target, third["access_token"], 2)
        await refused(target, await target.refresh(login["refresh_token"]), 401, "session_revoked")
        await all_end(target, sockets, "session_revoked")
    for each in (login, second, third):
        await dead(target, each["access_token"])
        await refused(target, await target.refresh(each["refresh_token"]), 401, "session_revoked")
    assert len(said(target, "TokenReused", login["session_id"])) == 1


async def test_se_11_when_the_victim_comes_back_the_thief_is_out(target: Plane) -> None:
    """Mallory used the stolen R1 first: when Alice sends it after the window, Mallory's R2 dies with it."""
    login = await target.login("alice")
    stolen = (await target.refresh(login["refresh_token"])).json()
    async with target.as_(stolen["access_token"]) as mallory:
        await asyncio.sleep(GRACE + 0.1)
        await refused(target, await target.refresh(login["refresh_token"]), 401, "session_revoked")
        await all_end(target, [mallory], "session_revoked")
    await refused(target, await target.refresh(stolen["refresh_token"]), 401, "session_revoked")
    await dead(target, stolen["access_token"])
    assert len(said(target, "TokenReused", login["session_id"])) == 1


async def test_se_13_within_the_window_there_is_one_successor(target: Plane) -> None:
    """R1 again, twenty times at once and from another program, gets the same R2 and no second branch."""
    login = await target.login("alice")
    body = {"refresh_token": login["refresh_token"]}
    replies = await asyncio.gather(
        *(target.http.post("/auth/refresh", json=body, headers={"User-Agent": f"program {n}"}) for n in range(20))
    )
    assert {reply.status_code for reply in replies} == {200}
    assert len({secret(reply.json()["refresh_token"], "a refresh token") for reply in replies}) == 1
    assert not said(target, "TokenReused", login["session_id"])


async def test_se_13_after_the_window_or_the_successors_use_it_is_theft(target: Plane) -> None:
    """R1 after the window, and R1 within it once R2 was used, end the session."""
    late, used = await target.login("alice"), await target.login("alice")
    successor = (await target.refresh(late["refresh_token"])).json()
    await asyncio.sleep(GRACE + 0.1)
    await refused(target, await target.refresh(late["refresh_token"]), 401, "session_revoked")
    await refused(target, await target.refresh(successor["refresh_token"]), 401, "session_revoked")
    second = (await target.refresh(used["refresh_token"])).json()
    third = (await target.refresh(second["refresh_token"])).json()
    await refused(target, await target.refresh(used["refresh_token"]), 401, "session_revoked")
    await refused(target, await target.refresh(third["refresh_token"]), 401, "session_revoked")


async def test_se_13_what_never_was_is_not_theft(target: Plane) -> None:
    """A forged token, a future generation and a foreign MAC are refused and end nobody's session."""
    login = await target.login("alice")
    prefix, handle, _, tag = login["refresh_token"].split(".")
    for forged in (
        f"{prefix}.{handle}.1.{tag}",
        f"{prefix}.{handle}.-1.{tag}",
        f"{prefix}.{handle}.00.{tag}",
        f"{prefix}.{handle}.0.{'A' * 43}",
        f"{prefix}.{handle}.0.{tag}=",
        f" {login['refresh_token']}",
        "",
    ):
        await refused(target, await target.refresh(forged), 401, "token_invalid")
    assert (await target.refresh(login["refresh_token"])).status_code == 200


async def test_se_14_a_crash_between_rotation_and_answer_makes_no_second_branch(tmp_path: Path) -> None:
    """Killed when the rotation is committed; R1 again gets its one successor, and once that is used R1 is theft."""
    config = CONFIG.replace("1s", "20s")
    async with plane(tmp_path, config) as server:
        login = await server.login("alice")
        lost = asyncio.ensure_future(server.http.post("/auth/refresh", json={"refresh_token": login["refresh_token"]}))
        await asyncio.sleep(0)
        with closing(sqlite3.connect(tmp_path / "wsauth.db")) as store:
            while not generation(store, login["session_id"]):  # noqa: ASYNC110  a store sets no event
                await asyncio.sleep(0)
            await server.serving.kill()
        await asyncio.gather(lost, return_exceptions=True)
    async with plane(tmp_path, config) as server:
        again = await asyncio.gather(*(server.refresh(login["refresh_token"]) for _ in range(2)))
        assert {reply.status_code for reply in again} == {200}
        assert len({reply.json()["refresh_token"] for reply in again}) == 1
        successor = again[0].json()["refresh_token"]
        assert successor.split(".")[2] == "1"
        assert (await server.refresh(successor)).status_code == 200
        await refused(server, await server.refresh(login["refresh_token"]), 401, "session_revoked")
        await serves_the_next(server)


def generation(store: sqlite3.Connection, session_id: str) -> int:
    """Return the generation of a session as it is committed."""
    row = store.execute("SELECT generation FROM sessions WHERE id = ?", (session_id,)).fetchone()
    return int(row[0])


# One for another.


async def test_se_15_each_kind_of_token_is_good_for_its_own_use_only(target: Plane) -> None:
    """No credential is taken in the place of another, wherever it is put."""
    login, page = await target.login("alice"), await target.page("alice")
    ticket = await target.ticket(login["access_token"])
    handles = {"session id": page.session_id, "csrf token": page.csrf_token}
    tokens = {"refresh token": login["refresh_token"], "cookie": page.cookie, "ticket": ticket, **handles}
    for value in tokens.values():
        await refused(target, await target.http.get("/auth/me", headers=bearer(value)), 401, "token_invalid")
        assert await turned_away(target, target.as_(value)) == "token_invalid"
    for value in (login["access_token"], page.cookie, ticket, target.keys["probe"], *handles.values()):
        await refused(target, await target.refresh(value), 401, "token_invalid")
    for value in (login["access_token"], login["refresh_token"], ticket, target.keys["probe"], *handles.values()):
        jar = {"Cookie": f"{target.cookie}={value}"}
        await refused(target, await target.http.get("/auth/me", headers=jar), 401, "credentials_invalid")
        await turned_away(target, target.open(headers={**jar, "Origin": ORIGIN}))
    for value in (login["access_token"], login["refresh_token"], page.cookie, target.keys["probe"], *handles.values()):
        assert await turned_away(target, target.open(f"/ws?ticket={value}")) == "ticket_invalid"
        credentials = {"username": "alice", "password": value}
        await refused(target, await target.http.post("/auth/login", json=credentials), 401, "credentials_invalid")
    wrong = {**page.headers, "X-CSRF-Token": page.cookie}
    await refused(target, await target.http.post("/auth/logout", headers=wrong), 403, "csrf_failed")
    async with target.as_(login["access_token"]) as alice, page.open() as too:
        await quiet(alice)
        await quiet(too)


# Lists.


async def test_se_21_a_list_of_logins_shows_handles_and_no_secret(target: Plane) -> None:
    """Alice sees when, from where and with what; nothing in the list opens anything, and nobody else is in it."""
    login, page, bobs = await target.login("alice"), await target.page("alice"), await target.login("bob")
    async with target.as_(login["access_token"]):
        reply = await target.http.get("/auth/sessions", headers=bearer(login["access_token"]))
    shown = {item["session_id"]: item for item in reply.json()["items"]}
    assert {login["session_id"], page.session_id} <= set(shown)
    assert bobs["session_id"] not in reply.text
    mine = shown[login["session_id"]]
    assert mine["current"] is True
    assert mine["address"] == "127.0.0.1"
    assert mine["agent"].startswith("python-httpx")
    assert len(mine["connections"]) == 1
    for value in (login["access_token"], login["refresh_token"], page.cookie, page.csrf_token):
        assert value not in reply.text
        assert value.rpartition(".")[2] not in reply.text


async def test_se_21_nobody_ends_anybody_elses_login(target: Plane) -> None:
    """To Mallory a login of Alice's is the same nothing as one that never was."""
    alice, mallory = await target.login("alice"), await target.login("mallory")
    async with target.as_(alice["access_token"]) as socket:
        told = []
        for handle in (alice["session_id"], "A" * 32, "x"):
            reply = await target.http.delete(f"/auth/sessions/{handle}", headers=bearer(mallory["access_token"]))
            await refused(target, reply, 404, "not_found")
            told.append({name: value for name, value in reply.json().items() if name != "id"})
        assert told[0] == told[1] == told[2]
        await quiet(socket)
        assert (await target.refresh(alice["refresh_token"])).status_code == 200
        reply = await target.http.delete("/auth/sessions", headers=bearer(mallory["access_token"]))
        assert reply.status_code == 204
        await quiet(socket)
    await dead(target, mallory["access_token"])


# Restart, clock.


async def test_se_22_what_was_revoked_stays_revoked(tmp_path: Path) -> None:
    """Revoked at one of two processes, both killed, one started again: the token is as dead as before."""
    async with plane(tmp_path, CONFIG) as one, plane(tmp_path, CONFIG) as two:
        ended, kept = await one.login("alice"), await one.login("bob")
        logged_out = await one.login("alice")
        async with two.as_(ended["access_token"]) as socket:
            await quiet(socket)
            done = await one.serving.command("sessions", "revoke", ended["session_id"])
            assert done.status == 0, done.err
            await all_end(two, [socket], "session_revoked")
        await one.http.post("/auth/logout", headers=bearer(logged_out["access_token"]))
        await asyncio.gather(one.serving.kill(), two.serving.kill())
    async with plane(tmp_path, CONFIG) as again:
        for gone in (ended, logged_out):
            await dead(again, gone["access_token"])
            await refused(again, await again.refresh(gone["refresh_token"]), 401, "session_revoked")
        async with again.as_(kept["access_token"]) as bob:
            await quiet(bob)
        await serves_the_next(again)


async def test_se_23_a_clock_that_jumps_revives_nothing_and_throws_nobody_out(tmp_path: Path) -> None:
    """An hour back ends and extends nothing; past its end a token stays dead when the clock goes back again."""
    jump = tmp_path / "jump"
    async with plane(tmp_path, CONFIG, environ=jumping(jump)) as server:
        login = await server.login("alice")
        async with server.as_(login["access_token"]) as socket:
            moved(jump, -3600)
            await quiet(socket)
            assert (await server.http.get("/auth/me", headers=bearer(login["access_token"]))).status_code == 200
            reply = await server.refresh(login["refresh_token"])
            assert reply.status_code == 200
            assert reply.json()["expires_in"] <= 300
            assert await lines(server, "system clock was set back")
            moved(jump, 301)
            await settled(server)
            expired = await server.http.get("/auth/me", headers=bearer(login["access_token"]))
            await refused(server, expired, 401, "token_expired")
            moved(jump, -86_400)
            expired = await server.http.get("/auth/me", headers=bearer(login["access_token"]))
            await refused(server, expired, 401, "token_expired")
            moved(jump, 86_400)
            await settled(server)
            # A day is less than a session may be idle: nobody has to sign in again.
            assert (await server.refresh(reply.json()["refresh_token"])).status_code == 200
        await serves_the_next(server)


async def test_se_23_after_a_clock_went_back_an_end_is_an_end(tmp_path: Path) -> None:
    """Who logs out, is revoked or disconnected after the wall clock was set back, by hours or days, is out at once."""
    jump = tmp_path / "jump"
    async with plane(tmp_path, CONFIG, environ=jumping(jump)) as server:
        boss = bearer(await server.serving.add_service("boss", grants=["wsauth:admin"]))
        for back in (3_600, 172_800):
            moved(jump, -back)
            for ends in ("logout", "revoke", "refresh reuse", "disconnect"):
                await ends_it(server, ends, "alice", boss)
        await ends_it(server, "disable", "carol", boss)
        await serves_the_next(server)


async def ends_it(server: Plane, ends: str, name: str, boss: dict[str, str]) -> None:
    """See that a way to end a login, or its connections, ends them in time."""
    login = await server.login(name)
    second = (await server.refresh(login["refresh_token"])).json()
    async with server.as_(second["access_token"]) as socket:
        await quiet(socket)
        await end_by(server, ends, login, second, boss)
        code, _ = await ending(socket, within=5)
        assert code == ("disconnected" if ends == "disconnect" else "session_revoked"), ends
        # Whoever waits for the order has been answered: nobody took it for one of before.
        if ends != "refresh reuse":
            assert answers_to_the_newest_order(server.serving.folder) == 1, ends
    if ends != "disconnect":
        await dead(server, second["access_token"])


def answers_to_the_newest_order(folder: Path) -> int:
    """Return how many processes have answered the order that was given last."""
    newest = "SELECT order_id FROM feed WHERE order_id IS NOT NULL ORDER BY seq DESC LIMIT 1"
    with closing(sqlite3.connect(folder / "wsauth.db")) as store:
        order = store.execute(newest).fetchone()
        found: int = store.execute("SELECT count(*) FROM answers WHERE order_id = ?", order).fetchone()[0]
    return found


async def end_by(server: Plane, ends: str, login: dict[str, Any], second: dict[str, Any], boss: dict[str, str]) -> None:
    """End a login, or its connections, in one of the ways there are."""
    if ends == "logout":
        reply = await server.http.post("/auth/logout", headers=bearer(second["access_token"]))
        assert reply.status_code == 204
    elif ends == "revoke":
        assert (await server.serving.command("sessions", "revoke", login["session_id"])).status == 0
    elif ends == "disable":
        assert (await server.serving.command("users", "disable", "carol")).status == 0
    elif ends == "disconnect":
        order = {"session_id": login["session_id"]}
        async with httpx2.AsyncClient(base_url=server.serving.admin, headers=boss, trust_env=False) as admin:
            report = (await admin.post("/admin/api/disconnections", json=order)).json()
        assert (report["matched"], report["complete"]) == (1, True)
    else:
        third = await server.refresh(second["refresh_token"])
        assert third.status_code == 200
        await refused(server, await server.refresh(login["refresh_token"]), 401, "session_revoked")


JUMPING = """
import os, time
from pathlib import Path

_real, _jump = time.time, Path(os.environ["JUMP"])
time.time = lambda: _real() + float(_jump.read_text())
"""
"""Found by every Python process with its folder on the path: the wall clock of the server is moved by a file."""


def jumping(jump: Path) -> dict[str, str]:
    """Return the environment of processes whose wall clock is moved by a file."""
    moved(jump, 0)
    jump.with_name("sitecustomize.py").write_text(JUMPING, "utf-8")
    paths = [str(jump.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "JUMP": str(jump)}


def moved(jump: Path, seconds: int) -> None:
    """Set the wall clock of the server so far off, in one step."""
    draft = jump.with_suffix(".draft")
    draft.write_text(str(seconds), "utf-8")
    draft.rename(jump)


async def settled(server: Plane) -> None:
    """Wait until the server has read the feed as of its new time; until then it grants nothing, and says so."""
    async with asyncio.timeout(5):
        asked = bearer(server.keys["probe"])
        while (await server.http.get("/auth/me", headers=asked)).status_code != 200:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.05)


# Odd places.


async def test_se_25_a_session_is_taken_from_nowhere_else(target: Plane) -> None:
    """In the query, the path, other headers, other cookies or the body a session's handle or proof is nothing."""
    page, login = await target.page("alice"), await target.login("alice")
    for value in (page.session_id, page.cookie, login["refresh_token"]):
        for name in ("session_id", "sid", "session", target.cookie, "wsauth", "refresh_token"):
            await nobody(target.open(f"/ws?{name}={value}", headers={"Origin": ORIGIN}))
            await refused(target, await target.http.get(f"/auth/me?{name}={value}"), 401, "credentials_missing")
        await nobody(target.open(f"/ws;{target.cookie}={value}", headers={"Origin": ORIGIN}))
        for name in ("X-Session-Id", "X-Wsauth-Session", "X-Auth-Token", target.cookie, "Session"):
            await nobody(target.open(headers={"Origin": ORIGIN, name: value}))
            await refused(target, await target.http.get("/auth/me", headers={name: value}), 401, "credentials_missing")
        for name in ("sid", "session", "__Host-sid", f"x{target.cookie}"):
            jar = {"Cookie": f"{name}={value}"}
            await nobody(target.open(headers={"Origin": ORIGIN, **jar}))
            await refused(target, await target.http.get("/auth/me", headers=jar), 401, "credentials_missing")
        for name in ("session_id", "cookie", "sid"):
            await refused(target, await target.http.post("/auth/refresh", json={name: value}), 400, "request_invalid")
            body = {"username": "alice", "password": PASSWORD, name: value}
            await refused(target, await target.http.post("/auth/login", json=body), 400, "request_invalid")
    for line in ({"X-Wsauth-Subject": "alice"}, {"X-Wsauth_Session": page.session_id}, {"X-User": "alice"}):
        await nobody(target.open(headers=line))
        await refused(target, await target.http.get("/auth/me", headers=line), 401, "credentials_missing")


async def test_se_25_a_session_in_the_query_of_a_token_is_a_token_in_the_query(target: Plane) -> None:
    """A good access token in the URL is refused, whatever it is called there."""
    login = await target.login("alice")
    for name in ("token", "access_token", "authorization"):
        path = f"/ws?{name}={login['access_token']}"
        assert await turned_away(target, target.open(path)) == "credentials_in_query"
        me = await target.http.get(f"/auth/me?{name}={login['access_token']}")
        await refused(target, me, 401, "credentials_missing")
