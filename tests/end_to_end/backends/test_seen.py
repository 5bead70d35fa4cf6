"""What an unchanged backend sees of a handshake through the gateway: who it is, signed, and no credential."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from websockets import InvalidStatus
from websockets.asyncio.client import ClientConnection, connect

from tests.end_to_end.backends.reaching import PAGE, Door, Gateway, new_room
from tests.wsauth_server import ISSUER, Serving
from tests.wsauth_sockets import called

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("name", ["websockets", "ws", "channels"])]
via = pytest.mark.parametrize("via", ["gateway"])
PATIENCE = 10.0
"""Seconds after which silence fails a test."""
SPOOFS = [
    ("X-Wsauth-Subject", "mallory"),
    ("x-wsauth-roles", "admin"),
    ("X_Wsauth_Issuer", "mallory"),
    ("X-WSAUTH-ASSERTION", "mallory"),
    ("X-Wsauth-Email", "mallory"),
    ("X-User", "mallory"),
    ("Remote_User", "mallory"),
    ("X-Forwarded-User", "mallory"),
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=6.6.6.6"),
]


@dataclass(frozen=True)
class Seen:
    """Hold what a backend saw.

    Attributes:
        target: path and query.
        headers: in lower case, in their order.
    """

    target: str
    headers: list[tuple[str, str]]

    def one(self, name: str) -> str:
        """Return the value of a header that is there once."""
        (value,) = [value for each, value in self.headers if each == name]
        return value

    def has(self, name: str) -> bool:
        """Tell whether a header is there."""
        return any(each == name for each, _ in self.headers)


async def seen(socket: ClientConnection) -> Seen:
    """Return what the backend saw of this socket's handshake."""
    await socket.send("/head")
    async with asyncio.timeout(PATIENCE):
        head = json.loads(await socket.recv())
    return Seen(head["target"], [(name.lower(), value) for name, value in head["headers"]])


async def read(at: Serving, assertion: str, audience: str) -> dict[str, Any]:
    """Return what an assertion says, by the keys that the gateway publishes."""
    keys = jwt.PyJWKSet.from_dict((await called("GET", f"{at.http}/.well-known/jwks.json")).json())
    key = next(each for each in keys.keys if each.key_id == jwt.get_unverified_header(assertion)["kid"])
    found = jwt.decode_complete(assertion, key, algorithms=["EdDSA"], audience=audience, issuer=ISSUER)
    assert found["header"]["typ"] == "wsauth-assertion+jwt"
    claims: dict[str, Any] = found["payload"]
    return claims


async def code_of(connecting: connect) -> str:
    """Return the code with which a connection is refused, by HTTP or by a close frame."""
    try:
        async with connecting as socket, asyncio.timeout(PATIENCE):
            await socket.wait_closed()
            return (socket.close_reason or "").partition(";")[0]
    except InvalidStatus as no:
        code: str = json.loads(no.response.body or b"{}")["code"]
        return code


@via
async def test_the_headers_say_who_it_is(door: Door, chat_gateway: Gateway) -> None:
    """Issuer, subject, session, roles and permissions are Alice's, each once."""
    async with door.connect(new_room()) as alice:
        head = await seen(alice)
    assert head.one("x-wsauth-issuer") == "wsauth"
    assert head.one("x-wsauth-subject") == "alice"
    assert head.one("x-wsauth-session") == chat_gateway.logins["alice"]["session_id"]
    assert head.one("x-wsauth-roles") == "member"
    assert head.one("x-wsauth-permissions") == "chat:*:read,chat:lobby:send"
    assert not head.has("x-wsauth-truncated")


@via
async def test_nothing_that_a_client_claims_arrives(door: Door) -> None:
    """However it is spelled and however often, what we say is there once, and what the client says is gone."""
    headers = [*SPOOFS, *door.headers("alice").items(), *SPOOFS]
    async with door.connect(new_room(), headers=headers) as alice:
        head = await seen(alice)
    assert [pair for pair in head.headers if "mallory" in pair[1] or "6.6.6.6" in pair[1]] == []
    assert (head.one("x-wsauth-subject"), head.one("x-wsauth-roles")) == ("alice", "member")
    assert (head.one("x-forwarded-for"), head.one("x-forwarded-proto")) == ("127.0.0.1", "http")
    assert head.one("x-forwarded-host") == head.one("host")


@via
async def test_a_client_cannot_have_our_headers_taken_away(door: Door) -> None:
    """`Connection` names our headers as its own, for the next hop to drop: they are there all the same."""
    listed = ("Connection", "X-Wsauth-Subject, X-Wsauth-Assertion, X-Wsauth-Roles")
    async with door.connect(new_room(), headers=[listed, *door.headers("alice").items()]) as alice:
        head = await seen(alice)
    assert head.one("x-wsauth-subject") == "alice"
    assert head.one("x-wsauth-roles") == "member"
    assert head.has("x-wsauth-assertion")


@via
async def test_no_credential_arrives(door: Door, chat_gateway: Gateway) -> None:
    """Neither from a header, a cookie, a ticket nor a subprotocol; what stands beside them does."""
    token = chat_gateway.logins["alice"]["access_token"]
    ticket = await chat_gateway.at.ticket(token)
    shown = {
        "header": door.connect(
            new_room(),
            query="?tab=1",
            headers=[("Authorization", f"Bearer {token}"), ("Cookie", "theme=dark; wsauth=leftover; lang=de")],
            offers=["chat.v2"],
        ),
        "ticket": door.connect(
            new_room(), query=f"?tab=1&ticket={ticket}", headers=[("Cookie", "theme=dark; lang=de")], offers=["chat.v2"]
        ),
        "subprotocol": door.connect(
            new_room(),
            query="?tab=1",
            headers=[("Cookie", "theme=dark; lang=de")],
            offers=["wsauth.v1", f"wsauth.bearer.{token}", "chat.v2"],
        ),
    }
    for place, connecting in shown.items():
        async with connecting as alice:
            assert alice.subprotocol == "chat.v2", place
            if place == "subprotocol":
                assert json.loads(await alice.recv())["type"] == "auth_success"
            head = await seen(alice)
        assert head.one("x-wsauth-subject") == "alice", place
        assert head.target.endswith("/?tab=1"), place
        assert head.one("sec-websocket-protocol") == "chat.v2", place
        assert [each.strip() for each in head.one("cookie").split(";")] == ["theme=dark", "lang=de"], place
        assert not head.has("authorization"), place
        assert not [pair for pair in head.headers if token in pair[1] or ticket in pair[1] or "leftover" in pair[1]]


@via
async def test_the_origin_arrives(door: Door) -> None:
    """The page's, as it was sent; a backend may check it too, and Channels does."""
    async with door.connect(new_room()) as alice:
        head = await seen(alice)
    assert head.one("origin") == PAGE
    assert head.one("host") == door.gateway.removeprefix("ws://")


@via
async def test_the_assertion_proves_it(door: Door, chat_gateway: Gateway) -> None:
    """It says the same as the headers, for this upstream and this connection, for a minute at most."""
    async with door.connect(new_room()) as alice, door.connect(new_room()) as again:
        heads = [await seen(alice), await seen(again)]
    first, second = [
        await read(chat_gateway.at, head.one("x-wsauth-assertion"), door.backend.upstream) for head in heads
    ]
    assert (first["sub"], first["issuer"], first["sid"]) == (
        "alice",
        "wsauth",
        chat_gateway.logins["alice"]["session_id"],
    )
    assert (first["roles"], first["permissions"]) == (["member"], ["chat:*:read", "chat:lobby:send"])
    assert 0 < first["exp"] - first["iat"] <= 60
    assert first["jti"] != second["jti"]
    assert first["cid"] != second["cid"]
    with pytest.raises(jwt.InvalidAudienceError):
        await read(chat_gateway.at, heads[0].one("x-wsauth-assertion"), "ws://another.example.com")


@via
async def test_an_assertion_opens_nothing(door: Door, chat_gateway: Gateway) -> None:
    """A backend that presents what it was told is refused, wherever credentials may stand (GW-18)."""
    async with door.connect(new_room()) as alice:
        assertion = (await seen(alice)).one("x-wsauth-assertion")
    room = new_room()
    refused = {
        "header": door.connect(room, headers=[("Authorization", f"Bearer {assertion}")]),
        "cookie": door.connect(room, headers=[("Cookie", f"wsauth={assertion}")]),
        "ticket": door.connect(room, headers=[], query=f"?ticket={assertion}"),
        "subprotocol": door.connect(room, headers=[], offers=["wsauth.v1", f"wsauth.bearer.{assertion}"]),
        "ticket subprotocol": door.connect(room, headers=[], offers=["wsauth.v1", f"wsauth.ticket.{assertion}"]),
    }
    assert {place: await code_of(connecting) for place, connecting in refused.items()} == {
        "header": "token_invalid",
        "cookie": "credentials_invalid",
        "ticket": "ticket_invalid",
        "subprotocol": "token_invalid",
        "ticket subprotocol": "ticket_invalid",
    }
    url = chat_gateway.at.http
    for answer in (
        await called("GET", f"{url}/auth/me", assertion),
        await called("POST", f"{url}/auth/ticket", assertion, {}),
        await called("POST", f"{url}/auth/refresh", body={"refresh_token": assertion}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


@via
async def test_mallory_does_not_reach_the_backend(door: Door) -> None:
    """A forged token is refused, and nobody came to the room meanwhile."""
    room = new_room()
    async with door.connect(room) as alice:
        assert (await seen(alice)).one("x-wsauth-subject") == "alice"
        forged = [("Authorization", "Bearer forged"), ("X-Wsauth-Subject", "alice")]
        assert await code_of(door.connect(room, headers=forged)) == "token_invalid"
        await alice.send("still alone")
        assert await alice.recv() == "still alone"
