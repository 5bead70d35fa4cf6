"""What the admin API of a real `wsauth serve` does to sockets: tickets, connections, disconnections, revocations."""

import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.end_to_end.administering import ADMIN, Office, closed, control, office, opened, part
from tests.wsauth_server import Serving, serving

ELSEWHERE = "https://chat.example"
"""Another system, with users of its own."""
REPORT = {"id", "matched", "closed", "cut", "nodes", "complete", "slowest_ms"}


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncGenerator[Office]:
    """Run one server for those tests that leave it as it was, but for their users."""
    async with office(tmp_path_factory.mktemp("office")) as open_office:
        yield open_office


async def refusal(server: Serving, *, token: str = "", ticket: str = "") -> int:
    """Return the HTTP status with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with opened(server, token=token, ticket=ticket):
            pass
    return refused.value.response.status_code


# Tickets.


async def test_a_ticket_lets_in_a_user_of_another_system_once(desk: Office) -> None:
    """The connection is theirs, with the roles and permissions of the order, and the ticket is spent."""
    ticket = await desk.ticket(
        issuer=ELSEWHERE, subject="zoe", roles=["member"], permissions=["chat:send"], path="/ws", expires_in=300
    )
    async with opened(desk.server, ticket=ticket):
        (one,) = (await desk.get(f"/connections?subject=zoe&issuer={ELSEWHERE}"))["items"]
        assert (one["issuer"], one["subject"], one["session_id"]) == (ELSEWHERE, "zoe", None)
        assert one["expires_at"] > one["opened_at"] + 200
    assert await refusal(desk.server, ticket=ticket) == 401


async def test_a_ticket_for_a_user_of_ours_has_their_rights_and_dies_with_their_logins(desk: Office) -> None:
    """With and without the issuer it is our user, and disabling them kills a ticket that was not used yet."""
    await desk.add("alice", roles=["member"])
    async with opened(desk.server, ticket=await desk.ticket(subject="Alice")) as socket:
        await desk.do("PATCH", "/users/alice", {"roles": ["member", "guest"]})
        assert (await control(socket))["roles"] == ["member", "guest"]
    unused = await desk.ticket(subject="alice", issuer="wsauth")
    await desk.do("PATCH", "/users/alice", {"disabled": True})
    assert await refusal(desk.server, ticket=unused) == 401
    assert await desk.refused("POST", "/tickets", {"subject": "alice"}) == "409 conflict"


@pytest.mark.parametrize(
    ("order", "no"),
    [
        ({"subject": "nobody-of-ours"}, "404 not_found"),
        ({"subject": "admin", "roles": ["member"]}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "permissions": ["wsauth:admin"]}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "roles": ["wsauth:admin"]}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "permissions": ["chat:*"]}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "grants": ["wsauth:admin"]}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "path": "/nowhere"}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "origin": "https://evil.example"}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "expires_in": 301}, "400 request_invalid"),
        ({"subject": "x", "issuer": ELSEWHERE, "expires_in": 0}, "400 request_invalid"),
        ({"subject": "", "issuer": ELSEWHERE}, "400 request_invalid"),
        ({"issuer": ELSEWHERE}, "400 request_invalid"),
    ],
)
async def test_a_ticket_that_cannot_be_meant_is_not_made(desk: Office, order: object, no: str) -> None:
    """Unknown users, paths and pages, reserved names, patterns and long lives are refused."""
    assert await desk.refused("POST", "/tickets", order) == no


async def test_a_clerk_makes_no_ticket_for_an_administrator(desk: Office) -> None:
    """Only who holds wsauth:admin may have a ticket made for a user with grants."""
    clerk = await desk.add_service("clerk", "wsauth:tickets")
    assert await desk.refused("POST", "/tickets", {"subject": "admin"}, token=clerk) == "403 permission_denied"
    await desk.ticket(subject="admin")


# Orders.


async def test_a_revocation_reports_what_it_did(desk: Office) -> None:
    """The sockets of exactly that user are closed, the report counts them, and it can be asked for again."""
    tokens = {name: await desk.token(name, await desk.add(name)) for name in ("bob", "mallory")}
    async with AsyncExitStack() as until:
        bobs = [await until.enter_async_context(opened(desk.server, token=tokens["bob"])) for _ in range(3)]
        other = await until.enter_async_context(opened(desk.server, token=tokens["mallory"]))
        report = await desk.do("POST", "/revocations", {"subject": "bob"})
        assert set(report) == REPORT
        assert (report["matched"], report["closed"] + report["cut"], report["complete"]) == (3, 3, True)
        assert report["nodes"] == {"live": 1, "answered": 1, "silent": 0}
        assert [await closed(socket) for socket in bobs] == ["3000 session_revoked"] * 3
        await other.send("still here")
        assert await other.recv() == "still here"
    assert await refusal(desk.server, token=tokens["bob"]) == 401
    assert await desk.get(f"/revocations/{report['id']}") == report
    assert await desk.refused("GET", "/revocations/unknown") == "404 not_found"


async def test_a_token_is_revoked_by_its_id(desk: Office) -> None:
    """Its socket is closed and it is dead, while the session goes on with another token."""
    login = await desk.server.login("carol", await desk.add("carol"))
    token = login["access_token"]
    async with opened(desk.server, token=token) as socket:
        order = {"token_id": part(token, 1)["jti"], "issuer": "wsauth"}
        assert (await desk.do("POST", "/revocations", order))["matched"] == 1
        assert await closed(socket) == "3000 token_revoked"
    assert (await desk.me(token)).json()["code"] == "token_revoked"
    async with httpx2.AsyncClient(base_url=desk.server.http) as client:
        refreshed = (await client.post("/auth/refresh", json={"refresh_token": login["refresh_token"]})).json()
    assert (await desk.me(refreshed["access_token"])).status_code == 200


async def test_a_session_is_revoked_by_its_id(desk: Office) -> None:
    """Its socket is closed and its token is dead, while another session of the same user goes on."""
    password = await desk.add("eve")
    ended, other = [await desk.server.login("eve", password) for _ in range(2)]
    async with opened(desk.server, token=ended["access_token"]) as socket:
        report = await desk.do("POST", "/revocations", {"session_id": ended["session_id"]})
        assert report["matched"] == 1
        assert await closed(socket) == "3000 session_revoked"
    assert (await desk.me(ended["access_token"])).json()["code"] == "session_revoked"
    assert (await desk.me(other["access_token"])).status_code == 200


async def test_a_disconnection_leaves_the_way_back(desk: Office) -> None:
    """Without retry_after the socket is told to stay away, with it to come again, and the token stays good."""
    token = await desk.token("dave", await desk.add("dave"))
    async with opened(desk.server, token=token) as socket:
        assert (await desk.do("POST", "/disconnections", {"subject": "dave"}))["closed"] == 1
        assert await closed(socket) == "3003 disconnected"
    async with opened(desk.server, token=token) as socket:
        report = await desk.do("POST", "/disconnections", {"subject": "dave", "issuer": "wsauth", "retry_after": 5})
        assert await closed(socket) == "1013 disconnected;retry_after=5"
    assert await desk.get(f"/disconnections/{report['id']}") == report
    assert (await desk.me(token)).status_code == 200


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"issuer": "wsauth"},
        {"subject": ""},
        {"subject": "x", "session_id": "y"},
        {"session_id": "y", "issuer": "wsauth"},
        {"all": True, "subject": "x"},
        {"all": False},
        {"all": "true"},
        {"all": 1},
        {"subject": "x", "unknown": 1},
        {"connection_id": "x"},
        {"subject": 7},
        "all",
    ],
)
async def test_a_revocation_names_exactly_one_thing(desk: Office, order: object) -> None:
    """Nothing, two things, and an `all` that is not exactly true are refused."""
    assert await desk.refused("POST", "/revocations", order) == "400 request_invalid"


@pytest.mark.parametrize(
    "order",
    [{}, {"all": True}, {"subject": "x", "retry_after": -1}, {"connection_id": "a", "session_id": "b"}],
)
async def test_a_disconnection_names_exactly_one_thing(desk: Office, order: object) -> None:
    """Nothing, two things, and a time before now are refused."""
    assert await desk.refused("POST", "/disconnections", order) == "400 request_invalid"


async def test_an_ambiguous_subject_is_a_conflict(desk: Office) -> None:
    """Where two issuers have somebody of that name, the order must say whose it is."""
    token = await desk.token("twin", await desk.add("twin"))
    ticket = await desk.ticket(issuer=ELSEWHERE, subject="twin")
    async with opened(desk.server, token=token) as ours, opened(desk.server, ticket=ticket) as theirs:
        for path in ("/revocations", "/disconnections"):
            assert await desk.refused("POST", path, {"subject": "twin"}) == "409 conflict"
        report = await desk.do("POST", "/revocations", {"subject": "twin", "issuer": ELSEWHERE})
        assert report["matched"] == 1
        assert await closed(theirs) == "3000 token_revoked"
        await ours.send("still here")
        assert await ours.recv() == "still here"


async def test_everything_is_revoked_twice(tmp_path: Path) -> None:
    """All sockets close and all tokens are dead, the administrator's too, and again does no harm."""
    async with office(tmp_path) as desk:
        token = await desk.token("alice", await desk.add("alice"))
        foreign = await desk.ticket(issuer=ELSEWHERE, subject="zoe")
        unused = await desk.ticket(issuer=ELSEWHERE, subject="zoe")
        key = await desk.add_service("robot", "wsauth:admin")
        async with opened(desk.server, token=token) as first, opened(desk.server, ticket=foreign) as second:
            report = await desk.do("POST", "/revocations", {"all": True})
            assert (report["matched"], report["closed"], report["complete"]) == (2, 2, True)
            assert await closed(first) == "3000 session_revoked"
            assert await closed(second) == "3000 token_revoked"
        assert await desk.refused("GET", "/users") == "401 session_revoked"
        assert await refusal(desk.server, token=token) == 401
        assert await refusal(desk.server, ticket=unused) == 401
        again = await desk.ask("POST", "/revocations", {"all": True}, token=key)
        assert (again.status_code, again.json()["matched"]) == (200, 0)
        assert (await desk.me(await desk.token("admin", ADMIN))).status_code == 200


# Several processes.


async def test_connections_of_all_processes_are_listed_and_closed(tmp_path: Path) -> None:
    """One desk pages through the sockets of both processes, shows one of the other's, and closes it."""
    async with office(tmp_path) as desk, serving(tmp_path) as second:
        token = await desk.token("alice", await desk.add("alice"))
        async with AsyncExitStack() as until:
            for server in (desk.server, second) * 2:
                await until.enter_async_context(opened(server, token=token))
            far = await until.enter_async_context(opened(second, token=token))
            ids, after = [], ""
            while True:
                page = await desk.get(f"/connections?limit=2&after={after}")
                ids += [one["id"] for one in page["items"]]
                if page["next"] is None:
                    break
                after = page["next"]
            assert ids == sorted(set(ids))
            shown = [await desk.get(f"/connections/{each}") for each in ids]
            assert len(shown) == 5
            assert sorted(Counter(one["node"] for one in shown).values()) == [2, 3]
            newest = max(shown, key=lambda one: one["opened_at"])
            report = (await desk.do("DELETE", f"/connections/{newest['id']}"))["report"]
            assert (report["matched"], report["closed"], report["nodes"]["answered"]) == (1, 1, 2)
            assert await closed(far) == "3003 disconnected"
            for method in ("GET", "DELETE"):
                assert await desk.refused(method, f"/connections/{newest['id']}") == "404 not_found"
                assert await desk.refused(method, "/connections/nothing") == "404 not_found"


async def test_a_process_that_does_not_answer_is_reported_and_asked_again(tmp_path: Path) -> None:
    """With a suspended process the answer is 202 after two seconds, and once it wakes the report is complete."""
    async with office(tmp_path) as desk, serving(tmp_path) as second:
        token = await desk.token("alice", await desk.add("alice"))
        async with opened(second, token=token) as socket:
            os.kill(second.pid, signal.SIGSTOP)
            try:
                report = await desk.do("POST", "/revocations", {"subject": "alice"}, 202)
            finally:
                os.kill(second.pid, signal.SIGCONT)
            assert report["nodes"] == {"live": 2, "answered": 1, "silent": 1}
            assert (report["complete"], report["matched"]) == (False, 0)
            assert await closed(socket) == "3000 session_revoked"
            while not report["complete"]:
                report = await desk.get(f"/revocations/{report['id']}")
            assert (report["matched"], report["nodes"]["silent"]) == (1, 0)
