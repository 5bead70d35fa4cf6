"""CONTRACT section 5: where credentials are found, and that they are cut out of what the application sees."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.apps.guarding import COOKIE, PAGE, PASSWORD, PASSWORDS
from tests.conformance.client import Site, basic, token
from tests.issuing import ISSUER, base64url


async def test_header(chat: Site, alice: str) -> None:
    """A bearer token in the header lets Alice in, and the application does not see it."""
    presented = token(alice)
    async with chat.open(token=presented) as socket:
        scope = await socket.ask("scope")
    assert scope["user"] == [True, alice, ISSUER]
    assert "authorization" not in scope["headers"]
    assert presented not in str(scope)


@pytest.mark.parametrize("encoded", [False, True], ids=["as-it-is", "base64url"])
async def test_subprotocol(chat: Site, alice: str, encoded: bool) -> None:
    """A token among the subprotocols lets Alice in; the application is offered the others only."""
    presented = token(alice)
    entry = "wsauth.bearer." + (base64url(presented.encode()) if encoded else presented)
    async with chat.open(offers=["wsauth.v1", entry, "chat.v2"]) as socket:
        await socket.hears("auth_success", subject=alice, issuer=ISSUER)
        scope = await socket.ask("scope")
    assert scope["subprotocols"] == ["chat.v2"]
    assert "wsauth" not in scope["headers"].get("sec-websocket-protocol", "")
    assert entry not in str(scope)


async def test_json_message(chat: Site, alice: str) -> None:
    """The first message may be Alice's token; everybody else's handshake waits for one."""
    async with chat.open() as socket:
        await socket.hears("auth_required", accept=["token", "ticket"], timeout=20)
        await socket.auth(token(alice))
        await socket.hears("auth_success", subject=alice)
        assert await socket.ask("hello") == "hello"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_plain_text_message(chat: Site, alice: str, scheme: str) -> None:
    """The first message may be an Authorization header in plain text."""
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await socket.say(f"Authorization: {scheme} {token(alice)}")
        await socket.hears("auth_success", subject=alice)


async def test_plain_text_counts_first_only(chat: Site, alice: str) -> None:
    """Once Alice is in, an Authorization line is a message like any other."""
    async with chat.open(token=token(alice), offers=["wsauth.v1"]) as socket:
        await socket.hears("auth_success")
        assert await socket.ask("Authorization: Bearer x") == "Authorization: Bearer x"


async def test_basic_header(chat: Site, alice: str) -> None:
    """A route that asks for it takes a username and a password from the header, on loopback."""
    async with chat.open("/every", headers={"Authorization": basic(alice, PASSWORD)}) as socket:
        scope = await socket.ask("scope")
    assert scope["user"] == [True, alice, PASSWORDS]
    assert "authorization" not in scope["headers"]


@pytest.mark.parametrize("plain", [False, True], ids=["json", "plain"])
async def test_password_message(chat: Site, alice: str, plain: bool) -> None:
    """A route that asks for it takes a username and a password from a message."""
    message: Any = {"password": PASSWORD, "username": alice, "type": "auth"}
    async with chat.open("/every") as socket:
        await socket.hears("auth_required", accept=["token", "ticket", "password"])
        await socket.say(f"Authorization: {basic(alice, PASSWORD)}" if plain else message)
        lease = await socket.hears("auth_success", subject=alice, issuer=PASSWORDS)
        assert 290 <= lease["expires_in"] <= 300


async def test_wrong_password(chat: Site, mallory: str) -> None:
    """Mallory's password lets nobody in."""
    headers = {"Authorization": basic(mallory, PASSWORD)}
    await chat.says_no("credentials_invalid", 401, 3000, "/every", headers=headers)


@pytest.mark.parametrize("name", ["token", "access_token", "authorization"])
@pytest.mark.parametrize("prefix", ["", "Bearer%20"], ids=["bare", "Bearer"])
async def test_insecure_query(chat: Site, alice: str, name: str, prefix: str) -> None:
    """A route that asks for it takes a token from the URL, and cuts it out of the query."""
    async with chat.open(f"/every?room=1&{name}={prefix}{token(alice)}&seat=2") as socket:
        scope = await socket.ask("scope")
    assert scope["user"][1] == alice
    assert scope["query"] == "room=1&seat=2"


async def test_token_in_query_elsewhere(chat: Site, alice: str) -> None:
    """Where nobody asked for it, a token in the URL is refused although it is good."""
    await chat.says_no("credentials_in_query", 400, 3000, f"/echo?token={token(alice)}")


async def test_insecure_bare_subprotocol(chat: Site, alice: str) -> None:
    """A route that asks for it takes a bare JWT, and answers it when it is the only offer."""
    presented = token(alice)
    async with chat.open("/every", offers=[presented]) as socket:
        assert socket.connection.subprotocol == presented
        scope = await socket.ask("scope")
    assert scope["user"][1] == alice
    assert presented not in str(scope)


async def test_bare_subprotocol_is_answered_alone_only(chat: Site, alice: str) -> None:
    """A bare JWT is not answered when there is another offer."""
    async with chat.open("/every", offers=[token(alice), "chat.v2"]) as socket:
        assert socket.connection.subprotocol == "chat.v2"


async def test_cookie(chat: Site, alice: str) -> None:
    """The issuer's cookie lets Alice's page in; of the cookies the application sees the others."""
    headers = {"Cookie": f"theme=dark; {COOKIE}={token(alice)}; lang=de"}
    async with chat.open(origin=PAGE, headers=headers) as socket:
        scope = await socket.ask("scope")
    assert scope["user"][1] == alice
    assert scope["headers"]["cookie"] == "theme=dark; lang=de"


@pytest.mark.parametrize("origin", ["", "https://evil.example.com"], ids=["no-origin", "evil"])
async def test_cookie_needs_an_allowed_origin(chat: Site, alice: str, origin: str) -> None:
    """Mallory's page cannot use Alice's cookie, nor can anything that does not say which page it is."""
    headers = {"Cookie": f"{COOKIE}={token(alice)}"}
    await chat.says_no("origin_denied", 403, 0, origin=origin, headers=headers)


async def test_explicit_credential_goes_before_the_cookie(chat: Site, alice: str, bob: str) -> None:
    """With a token in the header the cookie is not looked at, but cut out all the same."""
    headers = {"Cookie": f"{COOKIE}={token(alice)}"}
    async with chat.open(token=token(bob), headers=headers) as socket:
        scope = await socket.ask("scope")
    assert scope["user"][1] == bob
    assert "cookie" not in scope["headers"]


@pytest.mark.parametrize("source", ["query", "subprotocol", "message"])
async def test_ticket(chat: Site, alice: str, source: str) -> None:
    """A ticket lets Alice in once, by query, subprotocol or message."""
    ticket = await chat.control("ticket", subject=alice)
    offers = ["wsauth.v1", f"wsauth.ticket.{ticket}"] if source == "subprotocol" else ["wsauth.v1"]
    async with chat.open(f"/echo?ticket={ticket}" if source == "query" else "/echo", offers=offers) as socket:
        if source == "message":
            await socket.hears("auth_required")
            await socket.say({"type": "auth", "ticket": ticket})
        lease = await socket.hears("auth_success", subject=alice)
        assert 290 <= lease["expires_in"] <= 300
        scope = await socket.ask("scope")
    assert ticket not in str(scope)
    assert scope["query"] == ""
    await chat.says_no("ticket_invalid", 401, 3000, f"/echo?ticket={ticket}")


@pytest.mark.parametrize("bound", [{"path": "/other"}, {"origin": PAGE}], ids=["path", "origin"])
async def test_ticket_for_somewhere_else(chat: Site, alice: str, bound: Mapping[str, str]) -> None:
    """A ticket for another path or page opens nothing."""
    ticket = await chat.control("ticket", subject=alice, **bound)
    await chat.says_no("ticket_invalid", 401, 3000, f"/echo?ticket={ticket}")


async def test_ticket_for_this_place(chat: Site, alice: str) -> None:
    """A ticket opens the path and serves the page that it is bound to."""
    ticket = await chat.control("ticket", subject=alice, path="/echo", origin=PAGE)
    async with chat.open(f"/echo?ticket={ticket}", origin=PAGE) as socket:
        assert (await socket.ask("who"))["subject"] == alice


@pytest.mark.parametrize("presented", ["subprotocol", "insecure_bare_subprotocol", "ticket", "basic"])
async def test_source_that_the_route_does_not_take(chat: Site, alice: str, presented: str) -> None:
    """A route that takes the header only refuses good credentials from elsewhere."""
    headers = {"Authorization": basic(alice, PASSWORD)} if presented == "basic" else {}
    offers = {
        "subprotocol": ["wsauth.v1", f"wsauth.bearer.{token(alice)}"],
        "insecure_bare_subprotocol": ["wsauth.v1", token(alice)],
    }.get(presented, [])
    ticket = await chat.control("ticket", subject=alice)
    path = f"/header?ticket={ticket}" if presented == "ticket" else "/header"
    await chat.says_no("credentials_invalid", 401, 3000, path, headers=headers, offers=offers)


async def test_nothing_presented_where_messages_do_not_count(chat: Site) -> None:
    """Without credentials, and without `message` as a source, there is nothing to wait for."""
    await chat.says_no("credentials_missing", 401, 3000, "/header")
