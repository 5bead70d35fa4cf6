"""ATTACKS.md, group "Tickets and one-time tokens", at the real server in four processes; named by row."""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.attacks.plane import (
    EVIL,
    MIRROR,
    ORIGIN,
    Page,
    Plane,
    bearer,
    ending,
    explained,
    plane,
    quiet,
    refused,
    serves_the_next,
    turned_away,
)
from tests.attacks.wire import Answer, request, wire
from tests.leaks import secret

SECOND = "https://second.example.com"
CONFIG = f"""
[server]
origins = ["{ORIGIN}", "{SECOND}"]
drain_timeout = "0s"

[[routes]]
path = "/ws"
upstream = "echo"

[[routes]]
path = "/other"
upstream = "echo"

[[routes]]
path = "/vip"
upstream = "echo"
require = ["chat:vip"]

[[routes]]
path = "/mirror"
upstream = "{MIRROR}"
"""
WAYS = ("query", "subprotocol", "message")


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Plane]:
    """Run the server in four processes."""
    async with plane(tmp_path_factory.mktemp("tickets"), CONFIG, "--workers", "4") as server:
        yield server


@pytest.fixture
async def target(running: Plane) -> AsyncGenerator[Plane]:
    """Lend the server, and see afterwards that it serves the next client."""
    yield running
    await serves_the_next(running)


@pytest.fixture
async def token(target: Plane) -> str:
    """Sign Alice in."""
    return str((await target.login("alice"))["access_token"])


def using(server: Plane, ticket: str, way: str = "query", path: str = "/ws", origin: str = "") -> connect:
    """Return a handshake with the ticket, in the query or as a subprotocol."""
    headers = {"Origin": origin} if origin else {}
    if way == "query":
        return server.open(f"{path}?ticket={ticket}", headers=headers)
    return server.open(path, headers=headers, subprotocols=["wsauth.v1", f"wsauth.ticket.{ticket}"])


async def by_message(server: Plane, ticket: str, path: str = "/ws", origin: str = "") -> str:
    """Present a ticket in the first message, and return the type or the code of the answer."""
    async with server.open(path, headers={"Origin": origin} if origin else {}) as socket:
        assert json.loads(await socket.recv())["type"] == "auth_required"
        await socket.send(json.dumps({"type": "auth", "ticket": ticket}))
        answer = json.loads(await socket.recv())
        if answer["type"] == "auth_success":
            return "auth_success"
        await explained(server, answer["id"])
        return str(answer["code"])


async def opens(server: Plane, ticket: str, way: str = "query", path: str = "/ws", origin: str = "") -> None:
    """See that a ticket opens a socket."""
    if way == "message":
        assert await by_message(server, ticket, path, origin) == "auth_success"
        return
    async with using(server, ticket, way, path, origin) as socket:
        await quiet(socket)


async def is_spent(server: Plane, ticket: str, way: str = "query", path: str = "/ws", origin: str = "") -> None:
    """See that a ticket opens nothing."""
    if way == "message":
        assert await by_message(server, ticket, path, origin) == "ticket_invalid"
        return
    assert await turned_away(server, using(server, ticket, way, path, origin)) == "ticket_invalid"


async def raw(server: Plane, ticket: str, *lines: str, path: str = "/ws") -> Answer:
    """Return the answer to a handshake of exactly these header lines."""
    async with wire(server.port, request(f"{path}?ticket={ticket}", *lines)) as found:
        return await found.answer()


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_tk_01_a_ticket_opens_once(target: Plane, token: str, first: str, second: str) -> None:
    """After its use by any way a ticket is good by no way, at whichever process."""
    ticket = await target.ticket(token)
    await opens(target, ticket, first)
    for _ in range(3):
        await is_spent(target, ticket, second)


async def test_tk_02_of_a_hundred_at_four_processes_one_gets_in(target: Plane, token: str) -> None:
    """A hundred handshakes at once with one ticket: one 101, and 99 refusals that the log tells one by one."""
    ticket = await target.ticket(token)
    asked = request(f"/ws?ticket={ticket}")
    async with AsyncExitStack() as stack:
        wires = await asyncio.gather(*(stack.enter_async_context(wire(target.port)) for _ in range(100)))
        for each in wires:
            each.send(asked)
        answers = await asyncio.gather(*(each.answer() for each in wires))
    assert sorted(answer.status for answer in answers) == [101, *[401] * 99]
    told = {json.loads(answer.body)["id"] for answer in answers if answer.status == 401}
    lines = [await explained(target, refusal_id) for refusal_id in told]
    assert len(lines) == 99
    assert len({line.partition("[")[2].partition("]")[0] for line in lines}) > 1, "one process answered them all"


async def test_tk_03_a_ticket_ends_on_time(tmp_path: Path) -> None:
    """A ticket of two seconds is good before its end, and not at it nor after."""
    config = f'{CONFIG}\n[tokens]\nticket_ttl = "2s"\n'
    async with plane(tmp_path, config) as server:
        alice = (await server.login("alice"))["access_token"]
        early, sharp, late = [await server.ticket(alice) for _ in range(3)]
        await asyncio.sleep(1)
        await opens(server, early)
        for ticket, after in ((sharp, 0.0), (late, 1.0)):
            await asyncio.sleep(max(0.0, end_of(ticket) + after - time.time()))
            assert await turned_away(server, using(server, ticket)) == "ticket_invalid"
        await serves_the_next(server)


async def test_tk_03_a_ticket_lives_half_a_minute_at_most(target: Plane, token: str) -> None:
    """Unless the configuration says otherwise a ticket ends within 30 s, and it says so."""
    reply = await target.http.post("/auth/ticket", json={}, headers=bearer(token))
    ticket = secret(reply.json()["ticket"], "a ticket")
    assert reply.json()["expires_in"] <= 30
    assert end_of(ticket) - time.time() <= 30


def end_of(ticket: str) -> float:
    """Return when a ticket ends, as it says itself."""
    return float(json.loads(urlsafe_b64decode(ticket.partition(".")[0] + "=="))[1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wrong", ["", SECOND])
async def test_tk_05_a_ticket_of_another_page_is_refused_and_burnt(
    target: Plane, token: str, wrong: str, way: str
) -> None:
    """Made for one page, a ticket is good for no other allowed page and for no program, and that use spends it."""
    by_request = [await target.ticket(token, {"Origin": ORIGIN}) for _ in range(2)]
    by_wish = [await target.ticket(token, origin=ORIGIN) for _ in range(2)]
    for burnt, fresh in (by_request, by_wish):
        await is_spent(target, burnt, way, origin=wrong)
        await is_spent(target, burnt, way, origin=ORIGIN)
        await opens(target, fresh, way, origin=ORIGIN)


async def test_tk_05_a_page_that_is_not_allowed_cannot_have_a_ticket(target: Plane, token: str) -> None:
    """Nobody mints a ticket for Mallory's page, and her page cannot use one that is for no page."""
    reply = await target.http.post("/auth/ticket", json={"origin": EVIL}, headers=bearer(token))
    await refused(target, reply, 400, "request_invalid")
    ticket = await target.ticket(token)
    assert await turned_away(target, using(target, ticket, origin=EVIL)) == "origin_denied"
    await opens(target, ticket)


@pytest.mark.parametrize("way", WAYS)
async def test_tk_05_a_ticket_for_another_path_is_refused_and_burnt(target: Plane, token: str, way: str) -> None:
    """A ticket for one path opens no other, and that use spends it."""
    ticket = await target.ticket(token, path="/other")
    await is_spent(target, ticket, way)
    await is_spent(target, ticket, way, path="/other")
    await opens(target, await target.ticket(token, path="/other"), way, path="/other")
    reply = await target.http.post("/auth/ticket", json={"path": "/nowhere"}, headers=bearer(token))
    await refused(target, reply, 400, "request_invalid")


async def test_tk_06_a_ticket_of_an_ended_session_is_dead(target: Plane) -> None:
    """Logged out, revoked or disabled after the ticket was made: it opens nothing, by no way, at no process."""
    for ends in ("logout", "revoke", "end all"):
        login = await target.login("bob")
        tickets = [await target.ticket(login["access_token"]) for _ in range(6)]
        if ends == "revoke":
            assert (await target.serving.command("sessions", "revoke", login["session_id"])).status == 0
        elif ends == "logout":
            await target.http.post("/auth/logout", headers=bearer(login["access_token"]))
        else:
            await target.http.delete("/auth/sessions", headers=bearer(login["access_token"]))
        for ticket, way in zip(tickets, WAYS * 2, strict=True):
            await dies(target, ticket, way)
    login = await target.login("carol")
    ticket = await target.ticket(login["access_token"])
    assert (await target.serving.command("users", "disable", "carol")).status == 0
    await dies(target, ticket, "query")


async def dies(server: Plane, ticket: str, way: str) -> None:
    """See that the ticket of an ended session opens nothing."""
    found = await (by_message(server, ticket) if way == "message" else turned_away(server, using(server, ticket, way)))
    assert found in ("ticket_invalid", "session_revoked")


# Making one.


async def page_of(server: Plane) -> Page:
    """Sign Alice in on a page."""
    return await server.page("alice")


@pytest.mark.parametrize(
    ("changes", "body", "status", "code"),
    [
        pytest.param({"Origin": EVIL}, b"{}", 403, "origin_denied", id="JSON of another site"),
        pytest.param({"Origin": EVIL}, b"", 403, "origin_denied", id="nothing, of another site"),
        pytest.param({"Origin": "null"}, b"", 403, "origin_denied", id="a sandboxed page"),
        pytest.param(
            {"Origin": EVIL, "Content-Type": "application/x-www-form-urlencoded"},
            b"path=/ws",
            403,
            "origin_denied",
            id="a form of another site",
        ),
        pytest.param({"Origin": "", "Sec-Fetch-Site": "cross-site"}, b"", 403, "csrf_failed", id="Fetch Metadata"),
        pytest.param({"Origin": "", "Sec-Fetch-Site": "same-site"}, b"", 403, "csrf_failed", id="a sibling's page"),
        pytest.param({"Origin": ""}, b"", 403, "csrf_failed", id="no Origin"),
        pytest.param({"X-CSRF-Token": ""}, b"", 403, "csrf_failed", id="no CSRF token"),
        pytest.param({"Content-Type": "text/plain"}, b"{}", 415, "request_invalid", id="text/plain"),
        pytest.param(
            {"Content-Type": "application/x-www-form-urlencoded"}, b"path=/ws", 415, "request_invalid", id="a form"
        ),
        pytest.param(
            {"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 415, "request_invalid", id="multipart"
        ),
    ],
)
async def test_tk_07_no_other_site_mints_a_ticket(
    target: Plane, changes: dict[str, str], body: bytes, status: int, code: str
) -> None:
    """A POST that another site can cause, with Alice's cookie, makes nothing and shows nothing."""
    page = await page_of(target)
    headers = {"Content-Type": "application/json", **page.headers, **changes}
    sent = {name: value for name, value in headers.items() if value}
    reply = await target.http.post("/auth/ticket", content=body, headers=sent)
    await refused(target, reply, status, code)
    assert "ticket" not in reply.json()
    assert reply.headers.get("access-control-allow-origin") in (None, ORIGIN)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_tk_07_only_a_post_makes_a_ticket(target: Plane, token: str, method: str) -> None:
    """A ticket is made by no method that a link or an image has."""
    reply = await target.http.request(method, "/auth/ticket", headers=bearer(token))
    await refused(target, reply, 405, "request_invalid")


async def test_tk_07_a_page_of_ours_gets_one(target: Plane) -> None:
    """The refusals around it mean something: from the allowed page with its CSRF token it works."""
    page = await page_of(target)
    reply = await page.ask("POST", "/auth/ticket", json={})
    assert reply.status_code == 200
    await opens(target, secret(reply.json()["ticket"], "a ticket"), origin=ORIGIN)


async def test_tk_13_nobody_keeps_the_answer(target: Plane, token: str) -> None:
    """The answer that holds a ticket is JSON, stored by nobody, and readable by pages that are allowed only."""
    for origin in ("", ORIGIN):
        headers = {**bearer(token), **({"Origin": origin} if origin else {})}
        reply = await target.http.post("/auth/ticket", json={}, headers=headers)
        secret(reply.json()["ticket"], "a ticket")
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers.get("access-control-allow-origin", "") == origin
        assert not origin or "origin" in reply.headers["vary"].lower()


# Where it goes.


@pytest.mark.parametrize("name", ["ticket", "t%69cket", "TICKET"])
async def test_tk_11_the_application_sees_no_ticket_in_the_query(target: Plane, token: str, name: str) -> None:
    """A ticket is cut from the query, and what stands beside it stays."""
    ticket = await target.ticket(token)
    async with target.open(f"/mirror?a=1&{name}={ticket}&b=2") as socket:
        seen = json.loads(await socket.recv())
    assert seen["query"] == "a=1&b=2"
    assert ticket not in json.dumps(seen)
    assert ticket not in target.serving.output()


async def test_tk_11_the_application_sees_no_ticket_in_the_subprotocols(target: Plane, token: str) -> None:
    """A ticket is cut from the offers, and is never the answer."""
    ticket = await target.ticket(token)
    async with target.open("/mirror", subprotocols=["chat", "wsauth.v1", f"wsauth.ticket.{ticket}"]) as socket:
        assert socket.subprotocol == "wsauth.v1"
        told = [json.loads(await socket.recv()) for _ in range(2)]
    assert ticket not in json.dumps(told)
    assert told[1]["subprotocols"] == ["chat"]
    assert ticket not in target.serving.output()


@pytest.mark.parametrize("path", ["/ws/{}", "/ws;t={}", "/{}", "/auth/{}", "/ws?x={}", "/auth/me?y={}"])
async def test_tk_11_a_ticket_in_a_wrong_place_is_not_logged(target: Plane, token: str, path: str) -> None:
    """Whoever writes a good ticket into the path, or into another parameter, has it in no log."""
    ticket = await target.ticket(token)
    await raw_at(target, path.format(ticket))
    await target.http.get(path.format(ticket))
    await opens(target, ticket)
    assert ticket not in target.serving.output()


async def raw_at(server: Plane, target: str) -> Answer:
    """Return the answer to a handshake at this target."""
    async with wire(server.port, request(target)) as found:
        return await found.answer()


# What spends it.


async def test_tk_14_a_ticket_whose_socket_was_killed_is_spent(tmp_path: Path) -> None:
    """A use is written down before the 101: killed at that moment, the server refuses the ticket when it is back."""
    async with plane(tmp_path, CONFIG) as server:
        alice = (await server.login("alice"))["access_token"]
        answered, silent = [await server.ticket(alice) for _ in range(2)]
        async with wire(server.port, request(f"/ws?ticket={answered}")) as socket:
            assert (await socket.answer()).status == 101
            async with wire(server.port, request(f"/ws?ticket={silent}")) as other:
                await server.serving.kill()
                opened = (await other.answer()).status == 101
    async with plane(tmp_path, CONFIG) as server:
        await is_spent(server, answered)
        # The other one may have been used or not: together it opens once at most.
        answers = await asyncio.gather(*(raw(server, silent) for _ in range(5)))
        assert opened + [answer.status for answer in answers].count(101) <= 1
        await serves_the_next(server)


@pytest.mark.parametrize(
    ("lines", "path", "status"),
    [
        pytest.param(["Sec-WebSocket-Version: 12"], "/ws", 426, id="version"),
        pytest.param(["Sec-WebSocket-Key: short"], "/ws", 400, id="key"),
        pytest.param(["Host: evil.example"], "/ws", 421, id="host"),
        pytest.param([f"Origin: {EVIL}"], "/ws", 403, id="origin"),
        pytest.param([f"Origin: {ORIGIN}", f"Origin: {ORIGIN}"], "/ws", 400, id="two origins"),
        pytest.param(["Authorization: Bearer other"], "/ws", 400, id="two credentials"),
        pytest.param([], "/nowhere", 404, id="path"),
    ],
)
async def test_tk_15_what_is_wrong_before_the_ticket_does_not_spend_it(
    target: Plane, token: str, lines: list[str], path: str, status: int
) -> None:
    """Syntax, host, path and origin are looked at before the ticket, which is then as good as before."""
    ticket = await target.ticket(token)
    answer = await raw(target, ticket, *lines, path=path)
    assert answer.status == status
    await explained(target, json.loads(answer.body)["id"])
    await opens(target, ticket)


async def test_tk_15_what_is_wrong_after_the_ticket_spends_it(target: Plane, token: str) -> None:
    """A ticket at a route that its owner may not use is spent there."""
    ticket = await target.ticket(token)
    assert await turned_away(target, using(target, ticket, path="/vip")) == "permission_denied"
    await is_spent(target, ticket)


async def test_a_forged_ticket_is_nobodys(target: Plane, token: str) -> None:
    """A ticket of ours in which anything was changed opens nothing, and the real one is still good."""
    ticket = await target.ticket(token)
    payload, _, tag = ticket.partition(".")
    other = json.loads(urlsafe_b64decode(payload + "=="))
    assert len(urlsafe_b64decode(other[0])) >= 16
    for forged in (payload, f"{payload}.", f"{payload}.{'A' * 43}", f"{payload}.{tag}=", f"{payload[:-1]}A.{tag}", tag):
        assert await turned_away(target, using(target, forged)) == "ticket_invalid"
    await opens(target, ticket)


async def test_a_spent_ticket_closes_nobody(target: Plane, token: str) -> None:
    """Presenting Alice's used ticket again does not disturb the socket that it opened."""
    ticket = await target.ticket(token)
    async with using(target, ticket) as socket:
        await quiet(socket)
        await is_spent(target, ticket)
        await quiet(socket)
        await target.http.post("/auth/logout", headers=bearer(token))
        assert (await ending(socket))[0] == "session_revoked"
