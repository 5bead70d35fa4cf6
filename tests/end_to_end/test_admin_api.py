"""The admin API of a real `wsauth serve`: users, sessions, keys, who may ask, and its OpenAPI document."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.end_to_end.administering import ADMIN, Office, closed, control, office, opened, part
from tests.wsauth_server import ROOT, secret

HASHES = ("argon2", "hash", "epoch", "key_tag", '"d"', "wrapped")
"""What stands in the store and in no answer."""


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncGenerator[Office]:
    """Run one server for those tests that leave it as it was, but for their users."""
    async with office(tmp_path_factory.mktemp("office")) as open_office:
        yield open_office


# Users.


async def test_users_are_paged_by_name(desk: Office) -> None:
    """Every user is on exactly one page, and the last page says that it is the last."""
    for name in ("page-c", "page-a", "page-b"):
        await desk.add(name)
    names, after = [], ""
    while True:
        page = await desk.get(f"/users?limit=2&after={after}")
        names += [user["username"] for user in page["items"]]
        if page["next"] is None:
            break
        assert len(page["items"]) == 2
        after = page["next"]
    assert names == sorted(set(names))
    assert {"admin", "page-a", "page-b", "page-c"} <= set(names)


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many"])
async def test_a_page_has_a_limit(desk: Office, limit: str) -> None:
    """A page of none, of more than a thousand or of no number is refused, for every list."""
    for name in ("users", "sessions", "connections", "keys"):
        assert await desk.refused("GET", f"/{name}?limit={limit}") == "400 request_invalid"


async def test_an_added_user_comes_in_by_the_password_that_is_shown_once(desk: Office) -> None:
    """The answer has a random password, it is good, and no later answer has it or a hash."""
    added = await desk.do("POST", "/users", {"username": "alice/1", "roles": ["member"]}, 201)
    password = secret(added.pop("password"), "the first password of alice/1")
    assert added == await desk.get("/users/alice/1") | {"password_until": added["password_until"]}
    assert added["roles"] == ["member"]
    assert added["password_until"] > added["created_at"] + 86_000
    login = await desk.server.login("alice/1", password)
    assert login["roles"] == ["member"]
    shown = json.dumps([await desk.get("/users?limit=1000"), await desk.get("/users/ALICE/1")])
    assert not [word for word in (password, *HASHES) if word in shown]
    assert (await desk.get("/users/alice/1"))["password_until"] is None


async def test_a_service_comes_in_by_an_api_key_until_it_gets_another(desk: Office) -> None:
    """A key that was reset is dead when the answer is there, and it has no password to reset."""
    old = await desk.add_service("robot")
    assert (await desk.me(old)).json()["subject"] == "robot"
    changed = await desk.do("PATCH", "/users/robot", {"reset_key": True})
    new = secret(changed["api_key"], "the second API key of robot")
    assert changed["report"]["complete"]
    assert (await desk.me(old)).status_code == 401
    assert (await desk.me(new)).status_code == 200
    assert await desk.refused("PATCH", "/users/robot", {"reset_password": True}) == "409 conflict"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": ""},
        {"username": " mallory"},
        {"username": "mallory", "roles": ["a*"]},
        {"username": "mallory", "roles": ["wsauth:admin"]},
        {"username": "mallory", "roles": "member"},
        {"username": "mallory", "grants": ["wsauth:everything"]},
        {"username": "mallory", "grants": ["chat:send"]},
        {"username": "mallory", "password": "a password of the administrator's choice"},
        {"username": "mallory", "service": 1},
        {"username": 7},
        ["mallory"],
    ],
)
async def test_a_user_that_cannot_be_meant_is_not_added(desk: Office, body: object) -> None:
    """Wrong names, roles, grants and members are refused, and a password is none of them."""
    assert await desk.refused("POST", "/users", body) == "400 request_invalid"
    assert await desk.refused("GET", "/users/mallory") == "404 not_found"


async def test_a_name_is_given_once(desk: Office) -> None:
    """Another user of the same folded name is a conflict."""
    await desk.add("Twice")
    assert await desk.refused("POST", "/users", {"username": "twice"}) == "409 conflict"


async def test_changed_roles_reach_the_open_socket(desk: Office) -> None:
    """The socket stays open and is told what its user may do now."""
    token = await desk.token("bob", await desk.add("bob"))
    async with opened(desk.server, token=token) as socket:
        changed = await desk.do("PATCH", "/users/bob", {"roles": ["member"]})
        assert "report" not in changed
        assert changed["roles"] == ["member"]
        message = await control(socket)
        assert (message["type"], message["roles"]) == ("auth_changed", ["member"])


async def test_a_disabled_user_is_out_until_enabled(desk: Office) -> None:
    """Disabling reports the closed socket, and enabling lets the same password in again."""
    password = await desk.add("carol")
    async with opened(desk.server, token=await desk.token("carol", password)) as socket:
        changed = await desk.do("PATCH", "/users/carol", {"disabled": True})
        assert changed["disabled"]
        assert (changed["report"]["matched"], changed["report"]["closed"]) == (1, 1)
        assert await closed(socket) == "3000 session_revoked"
    body = {"username": "carol", "password": password}
    async with httpx2.AsyncClient(base_url=desk.server.http) as client:
        assert (await client.post("/auth/login", json=body)).status_code == 401
    assert not (await desk.do("PATCH", "/users/carol", {"disabled": False}))["disabled"]
    await desk.server.login("carol", password)


async def test_a_reset_draws_another_password(desk: Office) -> None:
    """The old password and the socket are gone, the new password is random and good."""
    old = await desk.add("dora")
    async with opened(desk.server, token=await desk.token("dora", old)) as socket:
        changed = await desk.do("PATCH", "/users/dora", {"reset_password": True})
        assert changed["report"]["closed"] == 1
        assert await closed(socket) == "3000 session_revoked"
    new = secret(changed["password"], "the second password of dora")
    assert new != old
    async with httpx2.AsyncClient(base_url=desk.server.http) as client:
        assert (await client.post("/auth/login", json={"username": "dora", "password": old})).status_code == 401
    await desk.server.login("dora", new)


async def test_a_removed_user_is_gone(desk: Office) -> None:
    """Their socket is closed when the answer is there, and a second removal finds nobody."""
    token = await desk.token("erin", await desk.add("erin"))
    async with opened(desk.server, token=token) as socket:
        assert (await desk.do("DELETE", "/users/erin"))["report"]["closed"] == 1
        assert await closed(socket) == "3000 session_revoked"
    assert (await desk.me(token)).status_code == 401
    assert await desk.refused("DELETE", "/users/erin") == "404 not_found"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"disabled": True, "reset_password": True},
        {"roles": ["x"], "disabled": True},
        {"reset_password": False},
        {"reset_password": 1},
    ],
)
async def test_a_change_is_one_change(desk: Office, body: object) -> None:
    """Nothing and several things at once are refused, and nothing of them is done."""
    before = await desk.get("/users/admin")
    assert await desk.refused("PATCH", "/users/admin", body) == "400 request_invalid"
    assert await desk.get("/users/admin") == before


async def test_somebody_remains_who_may_administer(tmp_path: Path) -> None:
    """The last enabled holder of wsauth:admin cannot be demoted, disabled or removed; with a second one they can."""
    async with office(tmp_path) as desk:
        await desk.add("former", grants=["wsauth:admin"])
        await desk.do("PATCH", "/users/former", {"disabled": True})
        worse: list[object] = [{"grants": []}, {"grants": ["wsauth:revoke"]}, {"disabled": True}]
        for body in worse:
            assert await desk.refused("PATCH", "/users/admin", body) == "409 conflict"
        assert await desk.refused("DELETE", "/users/admin") == "409 conflict"
        await desk.do("PATCH", "/users/former", {"disabled": False})
        await desk.do("PATCH", "/users/admin", {"grants": []})
        async with asyncio.timeout(1):
            while (reply := await desk.ask("GET", "/users")).status_code == 200:
                pass
        assert reply.json()["code"] == "permission_denied"


# Sessions and keys.


async def test_a_session_is_listed_and_ended(desk: Office) -> None:
    """Pages and the filter find it, and its end closes its socket and refuses its token."""
    password = await desk.add("frank")
    logins = [await desk.server.login("frank", password) for _ in range(3)]
    ids = sorted(login["session_id"] for login in logins)
    page = await desk.get("/sessions?subject=Frank&limit=2")
    rest = await desk.get(f"/sessions?subject=Frank&limit=2&after={page['next']}")
    assert [one["id"] for one in page["items"] + rest["items"]] == ids
    assert set(ids) <= {one["id"] for one in (await desk.get("/sessions?limit=1000"))["items"]}
    shown = await desk.get(f"/sessions/{ids[0]}")
    assert (shown["subject"], shown["kind"]) == ("frank", "tokens")
    assert not [word for word in ("wsr.", "generation", *HASHES) if word in json.dumps([page, shown])]
    first = next(login for login in logins if login["session_id"] == ids[0])
    async with opened(desk.server, token=first["access_token"]) as socket:
        assert (await desk.do("DELETE", f"/sessions/{ids[0]}"))["report"]["closed"] == 1
        assert await closed(socket) == "3000 session_revoked"
    assert (await desk.me(first["access_token"])).json()["code"] == "session_revoked"
    for method in ("GET", "DELETE"):
        assert await desk.refused(method, f"/sessions/{ids[0]}") == "404 not_found"


async def test_keys_are_rotated_and_removed(tmp_path: Path) -> None:
    """A new key is published, one made now signs, and what a removed key signed is refused at once."""
    async with office(tmp_path) as desk:
        (first,) = (await desk.get("/keys"))["items"]
        assert (first["state"], first["algorithm"]) == ("signing", "EdDSA")
        published = await desk.do("POST", "/keys", None, 201)
        assert published["state"] == "published"
        assert await desk.refused("DELETE", f"/keys/{first['kid']}") == "409 conflict"
        old = await desk.token("admin", ADMIN)
        assert part(old, 0)["kid"] == first["kid"]
        now = await desk.do("POST", "/keys", {"now": True}, 201)
        assert now["state"] == "signing"
        new = await desk.token("admin", ADMIN)
        assert part(new, 0)["kid"] == now["kid"]
        states = {key["kid"]: key["state"] for key in (await desk.get("/keys"))["items"]}
        assert states == {first["kid"]: "verifying", published["kid"]: "published", now["kid"]: "signing"}
        assert "d" not in now["jwk"]
        assert now["jwk"]["kty"] == "OKP"
        assert (await desk.me(old)).status_code == 200
        await desk.do("DELETE", f"/keys/{first['kid']}", None, 204)
        assert (await desk.me(old)).json()["code"] == "token_invalid"
        assert await desk.refused("DELETE", f"/keys/{first['kid']}", token=new) == "404 not_found"


# Who may ask.


async def test_only_a_bearer_with_the_grant_may_ask(desk: Office) -> None:
    """Nobody, a user without grants, a password, a cookie and a page are refused, each with its code."""
    password = await desk.add("grace", roles=["wsauth"])
    token = await desk.token("grace", password)
    assert await desk.refused("GET", "/users", token=token) == "403 permission_denied"
    assert await desk.refused("GET", "/users", token="x.y.z") == "401 token_invalid"
    admin = await desk.server.login("admin", ADMIN)
    async with httpx2.AsyncClient(base_url=f"{desk.server.admin}/admin/api") as nobody:
        reply = await nobody.get("/users")
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert (await nobody.get("/users", auth=("admin", ADMIN))).status_code == 401
        assert (await nobody.get("/users", headers={"Cookie": "wsauth=anything"})).status_code == 401
        page = {"Authorization": f"Bearer {admin['access_token']}", "Origin": desk.server.http}
        for method in ("GET", "POST", "DELETE"):
            reply = await nobody.request(method, "/users", headers=page)
            assert (reply.status_code, reply.json()["code"]) == (403, "origin_denied")
        page["Origin"] = "null"
        assert (await nobody.get("/users", headers=page)).status_code == 403
        form = {"Authorization": f"Bearer {admin['access_token']}", "Content-Type": "text/plain"}
        assert (await nobody.post("/users", headers=form, content='{"username":"mallory"}')).status_code == 415


async def test_a_narrow_grant_reaches_what_it_names(desk: Office) -> None:
    """A service with wsauth:revoke revokes, one with wsauth:tickets makes tickets, and neither does anything else."""
    revoker = await desk.add_service("revoker", "wsauth:revoke")
    clerk = await desk.add_service("clerk", "wsauth:tickets")
    order, ticket = {"subject": "nobody", "issuer": "wsauth"}, {"subject": "x", "issuer": "https://chat.example"}
    assert (await desk.ask("POST", "/revocations", order, token=revoker)).status_code == 200
    made = await desk.ask("POST", "/tickets", ticket, token=clerk)
    secret(made.json()["ticket"], "a ticket of the clerk")
    denied = "403 permission_denied"
    assert await desk.refused("POST", "/revocations", order, token=clerk) == denied
    assert await desk.refused("POST", "/revocations", {"all": True}, token=revoker) == denied
    assert await desk.refused("POST", "/tickets", ticket, token=revoker) == denied
    for path in ("/users", "/sessions", "/connections", "/keys"):
        assert await desk.refused("GET", path, token=revoker) == denied


async def test_no_websocket_on_the_admin_listener(desk: Office) -> None:
    """A handshake there is answered 404, with the best of tokens too."""
    token = await desk.token("admin", ADMIN)
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            desk.server.admin.replace("http", "ws") + "/ws", additional_headers={"Authorization": f"Bearer {token}"}
        )
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["code"] == "not_found"


# The document.


async def test_the_document_describes_both_apis(desk: Office) -> None:
    """Any holder of a grant reads it, and every operation says who may ask and what a no looks like."""
    url = "/openapi.json"
    holder = await desk.add_service("reader", "wsauth:metrics")
    nobody = await desk.add_service("no-reader")
    reply = await desk.http.get(url, headers={"Authorization": f"Bearer {nobody}"})
    assert reply.status_code == 403
    drawn = (await desk.http.get(url, headers={"Authorization": f"Bearer {holder}"})).json()
    assert {"/auth/login", "/readyz", "/admin/api/users/{name}", "/admin/api/revocations"} <= set(drawn["paths"])
    for path, methods in drawn["paths"].items():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
            if path.startswith("/admin/"):
                assert operation["security"] == [{"bearer": []}]
    assert set(drawn["components"]["securitySchemes"]) == {"bearer", "cookie", "csrf"}


def test_the_drawn_document_is_up_to_date() -> None:
    """Drawing docs/reference/openapi.json anew changes nothing."""
    spec = importlib.util.spec_from_file_location("draw_openapi", ROOT / "scripts" / "draw_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    assert drawing.main(["--check"]) == 0
