"""Every source of CONTRACT section 5 by every client that can send it; the README's table is drawn from here."""

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser

from tests.apps.guarding import PASSWORD, PASSWORDS, SECRET_VARIABLE
from tests.conformance.client import basic, token
from tests.end_to_end.browser import Tab, site, tab
from tests.end_to_end.visiting import GOODBYE, Presented, Seen, Visit, by_chromium, by_curl, by_websockets, by_ws
from tests.issuing import ISSUER, SECRET, base64url, claims, signed
from tests.servers import secret, serve

README = Path(__file__).parents[2] / "README.md"
CLIENTS = {"chromium": "Chromium", "websockets": "`websockets`", "ws": "`ws`", "curl": "curl"}
EVERYBODY = tuple(CLIENTS)
PROGRAMS = ("websockets", "ws", "curl")
TALKERS = ("chromium", "websockets", "ws")
V1 = ("wsauth.v1",)

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Source:
    """One row of the table.

    Attributes:
        name: of the source, as a route spells it.
        form: how it looks on the wire, for the README.
        kind: of credential: `token`, `opaque`, `password` or `ticket`.
        clients: who can send it.
        present: puts a credential of that kind where it belongs.
    """

    name: str
    form: str
    kind: str
    clients: tuple[str, ...]
    present: Callable[[str], Presented]


def says(**members: str) -> str:
    """Return an `auth` message."""
    return json.dumps({"type": "auth", **members})


ROWS = {
    "header": Source(
        "header",
        "`Authorization: Bearer TOKEN`",
        "token",
        PROGRAMS,
        lambda good: Presented(authorization=f"Bearer {good}", offers=V1),
    ),
    "cookie": Source(
        "cookie", "`Cookie: NAME=JWT`", "token", EVERYBODY, lambda good: Presented(cookie=good, offers=V1)
    ),
    "ticket_query": Source(
        "ticket", "`?ticket=TICKET`", "ticket", EVERYBODY, lambda good: Presented(query=f"?ticket={good}", offers=V1)
    ),
    "ticket_subprotocol": Source(
        "ticket",
        "subprotocols `wsauth.v1`, `wsauth.ticket.TICKET`",
        "ticket",
        EVERYBODY,
        lambda good: Presented(offers=(*V1, f"wsauth.ticket.{good}")),
    ),
    "ticket_message": Source(
        "ticket",
        '`{"type":"auth","ticket":"…"}`',
        "ticket",
        TALKERS,
        lambda good: Presented(message=says(ticket=good)),
    ),
    "subprotocol": Source(
        "subprotocol",
        "subprotocols `wsauth.v1`, `wsauth.bearer.JWT`",
        "token",
        EVERYBODY,
        lambda good: Presented(offers=(*V1, f"wsauth.bearer.{good}")),
    ),
    "subprotocol_base64url": Source(
        "subprotocol",
        "the same with any other token, in base64url",
        "opaque",
        EVERYBODY,
        lambda good: Presented(offers=(*V1, f"wsauth.bearer.{base64url(good.encode())}")),
    ),
    "message_json": Source(
        "message", '`{"type":"auth","token":"…"}`', "token", TALKERS, lambda good: Presented(message=says(token=good))
    ),
    "message_plain": Source(
        "message",
        "the text `Authorization: Bearer TOKEN`",
        "token",
        TALKERS,
        lambda good: Presented(message=f"Authorization: Bearer {good}"),
    ),
    "basic": Source(
        "basic",
        "`Authorization: Basic …`",
        "password",
        PROGRAMS,
        lambda good: Presented(authorization=basic("alice", good)),
    ),
    "basic_message": Source(
        "basic",
        '`{"type":"auth","username":"…","password":"…"}`',
        "password",
        TALKERS,
        lambda good: Presented(message=says(username="alice", password=good)),
    ),
    "query_token": Source(
        "insecure_query", "`?token=TOKEN`", "token", EVERYBODY, lambda good: Presented(query=f"?token={good}")
    ),
    "query_access_token": Source(
        "insecure_query",
        "`?access_token=TOKEN`",
        "token",
        EVERYBODY,
        lambda good: Presented(query=f"?access_token={good}", offers=V1),
    ),
    "query_authorization": Source(
        "insecure_query",
        "`?authorization=Bearer%20TOKEN`",
        "token",
        EVERYBODY,
        lambda good: Presented(query=f"?authorization=Bearer%20{good}"),
    ),
    "bare_subprotocol": Source(
        "insecure_bare_subprotocol",
        "subprotocol `JWT`",
        "token",
        EVERYBODY,
        lambda good: Presented(offers=(good,)),
    ),
}
CELLS = [pytest.param(client, row, id=f"{client}-{name}") for name, row in ROWS.items() for client in row.clients]

NOTES = """
✓: a good credential lets Alice in and her messages pass (to curl, the server's), a bad one is refused; both are tested.
–: this client cannot send it. Browsers set no headers on a WebSocket; curl makes the handshake and sends no messages.

Refused, Chromium and whoever sends a cookie with a page's Origin see close code 3000 and a reason with the refusal's
code and id; other programs see HTTP 401 and a problem document. Whoever authenticates by a message is told
by `auth_error`, and closed with 3000 when no attempt is left.
"""


def table() -> str:
    """Draw what the parametrization proves."""
    lines = [
        "| source | on the wire | " + " | ".join(CLIENTS.values()) + " |",
        "|---|---|" + ":-:|" * len(CLIENTS),
    ]
    for row in ROWS.values():
        cells = ["✓" if client in row.clients else "–" for client in CLIENTS]
        lines.append(f"| `{row.name}` | {row.form} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + NOTES


@dataclass(frozen=True)
class Place:
    """Where the echo listens, and the origin whose pages may talk to it."""

    url: str
    http: str
    origin: str

    async def good(self, kind: str) -> str:
        """Return a credential of Alice's."""
        if kind != "ticket":
            return {"token": token("alice"), "opaque": secret("slow-0-alice", "a token"), "password": PASSWORD}[kind]
        async with httpx2.AsyncClient() as client:
            headers = {"Authorization": f"Bearer {token('alice')}"}
            response = await client.post(f"{self.http}/ticket", headers=headers)
        assert response.status_code == 200
        return secret(response.text, "a ticket")


def bad(kind: str) -> str:
    """Return what Mallory has instead."""
    if kind == "token":
        return signed(claims(), key="mallory's own secret, which is long enough")
    guess = {"opaque": "quick-0-alice", "password": PASSWORD.upper(), "ticket": "mallorys-guess-of-alices-ticket"}[kind]
    return secret(guess, f"a wrong {kind}")


REFUSED = {
    "token": "token_invalid",
    "opaque": "token_invalid",
    "password": "credentials_invalid",
    "ticket": "ticket_invalid",
}


@pytest.fixture(scope="module")
async def place(anyio_backend: str) -> AsyncGenerator[Place]:
    """Serve an empty page, and beside it the echo, which takes everything from that page's origin."""
    async with site() as origin:
        env = {SECRET_VARIABLE: SECRET, "WSAUTH_TEST_ORIGIN": origin}
        async with serve("tests.apps.sources:app", env=env) as running:
            yield Place(f"{running.url}/ws", running.http, origin)


@pytest.fixture
async def page(chromium_browser: Browser, place: Place) -> AsyncGenerator[Tab]:
    """Open that page in a profile of its own."""
    context = await chromium_browser.new_context()
    try:
        async with tab(context, place.origin) as opened:
            yield opened
    finally:
        await context.close()


@pytest.fixture
def visit(client: str, request: pytest.FixtureRequest) -> Visit:
    """Take that client, and only look for what it needs."""
    if client == "chromium":
        return by_chromium(request.getfixturevalue("page"))
    if client == "ws":
        return by_ws(request.getfixturevalue("node"))
    if client == "curl":
        return by_curl(request.getfixturevalue("curl"))
    return by_websockets


@pytest.mark.parametrize(("client", "row"), CELLS)
async def test_good(client: str, row: Source, visit: Visit, place: Place) -> None:
    """Alice gets in, is told so where she speaks wsauth, and is who she is."""
    presented = row.present(await place.good(row.kind))
    seen = await visit(place.url, place.origin, presented)
    controls = [message for message in seen.messages if isinstance(message, dict)]
    types = ["auth_required", "auth_success"] if presented.message else ["auth_success"] * (V1[0] in presented.offers)
    assert [message["type"] for message in controls] == types
    if controls:
        issuer = PASSWORDS if row.kind == "password" else ISSUER
        assert (controls[-1]["issuer"], controls[-1]["subject"]) == (issuer, "alice")
    echoed = [] if client == "curl" else [GOODBYE]
    assert seen.messages[len(controls) :] == ["you are alice", *echoed]
    assert (seen.status, seen.protocol, seen.close) == (101, (*presented.offers, "")[0], 0)


@pytest.mark.parametrize(("client", "row"), CELLS)
async def test_bad(client: str, row: Source, visit: Visit, place: Place) -> None:
    """Mallory stays out, and sees why as far as her client can show it."""
    presented = row.present(bad(row.kind))
    seen = await visit(place.url, place.origin, presented)
    code = REFUSED[row.kind]
    if presented.message:
        check_closed(seen, "too_many_attempts")  # what she says next is the last attempt
        assert [message["type"] for message in seen.messages] == ["auth_required", "auth_error", "auth_error"]
        assert (seen.messages[1]["code"], seen.messages[1]["closing"]) == (code, False)
    elif client == "chromium" or presented.cookie:
        check_closed(seen, code)
        assert len(seen.messages) == (V1[0] in presented.offers)
    else:
        assert (seen.status, seen.messages, seen.close) == (401, [], 0)
        assert (seen.problem["status"], seen.problem["code"], len(seen.problem["id"])) == (401, code, 12)


def check_closed(seen: Seen, code: str) -> None:
    """Check that the socket opened and closed for that reason, and that the last message says the same."""
    assert (seen.status, seen.close, seen.problem) == (101, 3000, {})
    named, _, refusal = seen.reason.partition(";id=")
    assert (named, len(refusal)) == (code, 12)
    if seen.messages:
        last = seen.messages[-1]
        assert (last["type"], last["code"], last["id"], last["closing"]) == ("auth_error", code, refusal, True)


@pytest.mark.parametrize("way", ["an option", "the URL"])
async def test_chromium_sets_no_header(way: str, page: Tab, place: Place) -> None:
    """Chromium sends neither a header it is told of nor a name and password in the URL, so Alice brings nothing."""
    url = place.url.replace("/ws", "/headers-only")
    presented = Presented(authorization=basic("alice", PASSWORD))
    if way == "the URL":
        url, presented = url.replace("//", "//alice:password@"), Presented()
    seen = await by_chromium(page)(url, place.origin, presented)
    assert (seen.close, seen.reason.partition(";")[0]) == (3000, "credentials_missing")


def test_readme() -> None:
    """The README's table is the parametrization."""
    _, _, rest = README.read_text().partition("<!-- sources -->\n")
    shown, end, _ = rest.partition("<!-- /sources -->")
    assert end
    assert shown == table()
