"""CONTRACT sections 5 and 7: how a handshake is refused, origins, ambiguity, and which subprotocol is answered."""

from collections.abc import Mapping, Sequence

import pytest

from tests.apps.guarding import COOKIE, PAGE, PASSWORD
from tests.conformance.client import Site, basic, token
from tests.issuing import ISSUER

EVIL = "https://evil.example.com"


async def test_problem_document(chat: Site, mallory: str) -> None:
    """A refused client that is no page gets status and problem document, and no more than the table says."""
    refusal = await chat.says_no("token_invalid", 401, 3000, token=token(mallory) + "x")
    if chat.difference.denies:
        assert refusal.body == {
            "status": 401,
            "title": "Unauthorized",
            "detail": "Token is invalid",
            "code": "token_invalid",
            "action": "login",
            "id": refusal.body["id"],
        }


async def test_expired(chat: Site, alice: str) -> None:
    """An expired token says that it has expired."""
    await chat.says_no("token_expired", 401, 3000, token=token(alice, ttl=-5, age=60))


async def test_other_audience(chat: Site, alice: str) -> None:
    """A token for somebody else's service opens nothing here."""
    await chat.says_no("token_invalid", 401, 3000, token=token(alice, aud="shop"))


async def test_permission(chat: Site, alice: str, bob: str) -> None:
    """A route that requires a permission lets in who holds it by a role, and refuses who does not."""
    await chat.says_no("permission_denied", 403, 3003, "/admin", token=token(bob, roles=["member"]))
    async with chat.open("/admin", token=token(alice, roles=["admin"])) as socket:
        assert await socket.ask("hello") == "hello"


async def test_page_can_read_an_invalid_token(chat: Site, mallory: str) -> None:
    """An allowed page sees 3000 and the reason, since it could not see an HTTP status."""
    await chat.shows_no("token_invalid", 3000, token=token(mallory) + "x")


async def test_page_can_read_a_missing_permission(chat: Site, bob: str) -> None:
    """An allowed page sees 3003 where a permission is missing."""
    await chat.shows_no("permission_denied", 3003, "/admin", token=token(bob))


async def test_page_that_speaks_wsauth_is_told_in_band(chat: Site, alice: str) -> None:
    """A page that offered wsauth.v1 also gets auth_error before the close, and wsauth.v1 as the answer."""
    offers = ["wsauth.v1", f"wsauth.bearer.{token(alice, ttl=-5, age=60)}"]
    refusal = await chat.shows_no("token_expired", 3000, offers=offers)
    [error] = refusal.messages
    assert error["type"] == "auth_error"
    assert error["code"] == "token_expired"
    assert error["action"] == "refresh"
    assert error["closing"] is True
    assert error["id"] in refusal.reason


@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        "null",
        f"{PAGE}:8443",
        f"{PAGE}.evil.example.com",
        "http://app.example.com",
        f"{PAGE}/",
        "http://127.0.0.1",
    ],
)
async def test_origin_denied(chat: Site, alice: str, origin: str) -> None:
    """Another page is refused although Alice's token is good, and sees nothing of why."""
    await chat.says_no("origin_denied", 403, 0, origin=origin, token=token(alice))


async def test_origin_is_compared_without_case(chat: Site, alice: str) -> None:
    """Scheme and host of an origin have no case."""
    async with chat.open(origin="HTTPS://APP.example.COM", token=token(alice)) as socket:
        assert await socket.ask("hello") == "hello"


async def test_origins_of_a_route(chat: Site, alice: str) -> None:
    """A route's origins take the place of the guard's."""
    async with chat.open("/elsewhere", origin="https://elsewhere.example.com", token=token(alice)) as socket:
        assert await socket.ask("hello") == "hello"
    await chat.says_no("origin_denied", 403, 0, "/elsewhere", origin=PAGE, token=token(alice))


async def test_fetch_site_that_contradicts(chat: Site, alice: str) -> None:
    """An allowed Origin beside a Sec-Fetch-Site that contradicts it is refused."""
    headers = {"Sec-Fetch-Site": "same-origin"}
    await chat.says_no("origin_denied", 403, 0, origin=PAGE, token=token(alice), headers=headers)


async def test_refusals_http(chat: Site, mallory: str) -> None:
    """With refusals="http" a page gets an HTTP status too."""
    await chat.says_no("token_invalid", 401, 3000, "/http", origin=PAGE, token=token(mallory) + "x")


async def test_refusals_close(chat: Site, mallory: str) -> None:
    """With refusals="close" a client without Origin reads code and reason, but another page still does not."""
    await chat.shows_no("token_invalid", 3000, "/close", origin="", token=token(mallory) + "x")
    await chat.says_no("origin_denied", 403, 0, "/close", origin=EVIL, token=token(mallory) + "x")


@pytest.mark.parametrize("second", ["ticket", "subprotocol", "cookie-and-two", "same"])
async def test_ambiguous(chat: Site, alice: str, second: str) -> None:
    """Two explicit credentials are refused, even two good and equal ones."""
    good = token(alice)
    ticket = await chat.control("ticket", subject=alice)
    path, offers, headers = "/echo", ["wsauth.v1"], {}
    if second == "ticket":
        path = f"/echo?ticket={ticket}"
    else:
        offers.append(f"wsauth.bearer.{good}")
    if second == "same":
        offers.append(f"wsauth.bearer.{good}")
    if second == "cookie-and-two":
        headers["Cookie"] = f"{COOKIE}={good}"
    first = "" if second == "same" else good
    if chat.difference.checks and second == "same":
        assert (await chat.refused(path, offers=offers)).status == 400
    else:
        await chat.says_no("credentials_ambiguous", 400, 3000, path, token=first, offers=offers, headers=headers)


async def test_ambiguous_page(chat: Site, alice: str) -> None:
    """An allowed page can read that it presented two credentials."""
    good = token(alice)
    await chat.shows_no("credentials_ambiguous", 3000, token=good, offers=["wsauth.v1", f"wsauth.bearer.{good}"])


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer a b", "Digest x", "Basic !!!", f"Basic {basic('x', 'y')[6:]}x", "Bearer  ,"],
)
async def test_malformed_authorization(chat: Site, authorization: str) -> None:
    """A header that is neither Bearer TOKEN nor Basic USER:PASSWORD is wrong, and never nobody."""
    headers = {"Authorization": authorization}
    await chat.says_no("credentials_invalid", 401, 3000, "/anonymous", headers=headers)


async def test_credential_as_the_only_offer(chat: Site, alice: str) -> None:
    """A credential is never answered, so it may not be the only offer."""
    offers = [f"wsauth.bearer.{token(alice)}"]
    await chat.says_no("request_invalid", 400, 1002, offers=offers)


@pytest.mark.parametrize(
    ("path", "offers", "answer"),
    [
        ("/echo", ["wsauth.v1", "chat.v2"], "chat.v2"),
        ("/picky", ["wsauth.v1", "chat.v2"], "wsauth.v1"),
        ("/picky", ["chat.v2"], None),
        ("/echo", ["wsauth.v1"], "wsauth.v1"),
        ("/echo", ["graphql", "wsauth.v1", "chat.v3", "wsauth.v9"], "chat.v3"),
    ],
)
async def test_answer(chat: Site, alice: str, path: str, offers: Sequence[str], answer: str | None) -> None:
    """The application's choice is the answer; else wsauth.v1 where it was offered; else none."""
    async with chat.open(path, token=token(alice), offers=offers) as socket:
        assert socket.connection.subprotocol == answer


@pytest.mark.parametrize(("path", "answer"), [("/v2", "chat.v2"), ("/echo", "wsauth.v1")])
async def test_answer_before_the_application_runs(chat: Site, alice: str, path: str, answer: str) -> None:
    """In-band the answer goes out first: from the route's subprotocols, else wsauth.v1."""
    async with chat.open(path, offers=["wsauth.v1", "chat.v2"]) as socket:
        assert socket.connection.subprotocol == answer
        await socket.hears("auth_required")
        await socket.auth(token(alice))
        await socket.hears("auth_success")
        assert await socket.ask("hello") == "hello"


async def test_headers_of_the_accept(chat: Site, alice: str) -> None:
    """Headers that the application sends with its accept arrive where the server takes them."""
    async with chat.open(token=token(alice)) as socket:
        assert socket.connection.response is not None
        assert ("x-app" in socket.connection.response.headers) is chat.difference.headers


async def test_anonymous(chat: Site) -> None:
    """An anonymous route opens at once as nobody, and says so to who speaks wsauth."""
    async with chat.open("/anonymous", offers=["wsauth.v1"]) as socket:
        lease = await socket.hears("auth_success", subject=None, issuer=None, roles=["anonymous"])
        assert lease["expires_in"] > 86_000
        scope = await socket.ask("scope")
        assert scope["user"] == [False, "", ""]


@pytest.mark.parametrize("bad", ["forged", "expired", "message"])
async def test_bad_credentials_are_never_nobody(chat: Site, mallory: str, bad: str) -> None:
    """On an anonymous route bad or ended credentials are refused all the same."""
    forged = token(mallory) + "x"
    if bad == "message":
        async with chat.open("/anonymous", offers=["wsauth.v1"]) as socket:
            await socket.hears("auth_success")
            await socket.auth(forged)
            await socket.hears("auth_error", code="token_invalid", closing=False)
            return
    code, presented = (
        ("token_invalid", forged) if bad == "forged" else ("token_expired", token(mallory, ttl=-5, age=60))
    )
    await chat.says_no(code, 401, 3000, "/anonymous", token=presented)


async def test_nobody_becomes_somebody_once(chat: Site, alice: str, bob: str) -> None:
    """Nobody may become Alice by a message, and then nobody else."""
    async with chat.open("/anonymous", offers=["wsauth.v1"]) as socket:
        await socket.hears("auth_success")
        await socket.auth(token(alice))
        await socket.hears("auth_success", subject=alice, issuer=ISSUER)
        assert (await socket.ask("who"))["subject"] == alice


@pytest.mark.parametrize("headers", [{"Content-Length": "0"}, {"Origin": ""}], ids=["body", "empty-origin"])
async def test_malformed_handshake(chat: Site, alice: str, headers: Mapping[str, str]) -> None:
    """A handshake with a body or an empty Origin is refused before anything is looked up."""
    if chat.difference.checks and "Origin" in headers:
        assert (await chat.refused(token=token(alice), headers=headers)).status == 400
    else:
        await chat.says_no("request_invalid", 400, 1002, token=token(alice), headers=headers)


async def test_refusals_do_not_leak(chat: Site, mallory: str) -> None:
    """Nothing that was presented stands in the server's output, and nobody stays behind."""
    secret = token(mallory) + "x"
    await chat.refused(token=secret)
    await chat.refused("/every", headers={"Authorization": basic(mallory, PASSWORD + "?")})
    await chat.refused(f"/echo?token={secret}")
    output = chat.running.output()
    assert PASSWORD not in output
    assert secret.split(".")[2] not in output
