"""ATTACKS.md, group "Handshake and origin", with RX-09, against the gateway: every test is named by its row.

Elsewhere: HS-42 in end_to_end/test_tls.py. HS-43 is about HTTP/2, which is not spoken.
"""

import json
import time
from base64 import b64encode
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from tests.attacks.gateway import ORIGIN, SPEAKS, Site, gateway
from tests.attacks.wire import Answer, frame, request, wire
from tests.leaks import secret
from tests.wsauth_server import serving
from tests.wsauth_sockets import people, port_of

CONFIG = f"""
[server]
origins = ["{ORIGIN}"]

[roles]
admin = ["panel:open"]

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{{echo}}"

[[routes]]
path = "/admin"
upstream = "ws://127.0.0.1:{{echo}}"
require = ["panel:open"]

[[routes]]
path = "/anonymous"
upstream = "ws://127.0.0.1:{{echo}}"
anonymous = true

[[routes]]
path = "/basic"
upstream = "ws://127.0.0.1:{{echo}}"
sources = ["header", "basic", "message"]

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{{played}}"
compression = true
"""
SOON = 1.0
"""Seconds within which a hostile head is answered; the attack would take tens of them."""


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("handshake"), CONFIG) as found:
        yield found


@pytest.fixture(scope="module")
async def cookie(running: Site) -> str:
    """Return the header line with the cookie of Alice's login."""
    password = await people(running.serving, ["alice"])
    body = {"username": "alice", "password": password, "cookie": True}
    async with httpx2.AsyncClient(base_url=running.serving.http, trust_env=False) as client:
        reply = await client.post("/auth/login", json=body, headers={"Origin": ORIGIN})
    assert reply.status_code == 200, reply.text
    secret(reply.json()["csrf_token"], "a CSRF token")
    return f"Cookie: wsauth={secret(reply.cookies['wsauth'], 'a session cookie')}"


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client, and nobody was let in."""
    before = len(running.echo.subjects), len(running.played.heads)
    yield running
    reached = running.echo.subjects[before[0] :]
    await running.serves_the_next()
    assert "mallory" not in reached
    running.played.forget()


def reached(site: Site) -> int:
    """Return how many handshakes came to an upstream."""
    return len(site.echo.subjects) + len(site.played.heads)


async def who(site: Site, *lines: str, path: str = "/ws") -> str:
    """Return whom the upstream takes a connection for."""
    async with wire(site.port, request(path, *lines)) as client:
        answer = await client.answer()
        assert answer.status == 101, (answer.status, answer.body)
        client.send(frame("hi"))
        return (await client.text()).partition(":")[0]


# Origins.


async def test_hs_01_a_foreign_page_with_alices_cookie_is_refused_and_told_of(site: Site, cookie: str) -> None:
    """A page of Mallory's cannot use Alice's login (CSWSH), which stays as it was; the upstream hears nothing."""
    login = {cookie.partition(": ")[0]: cookie.partition(": ")[2], "Origin": ORIGIN}
    async with httpx2.AsyncClient(base_url=site.serving.http, headers=login, trust_env=False) as client:
        sessions, before = (await client.get("/auth/sessions")).json(), reached(site)
        answer = await site.attempt("Origin: https://evil.example", cookie)
        line = await site.refused(answer, 403, "origin_denied")
        assert "'https://evil.example'" in line
        assert reached(site) == before
        assert (await client.get("/auth/sessions")).json() == sessions
        assert len(sessions) > 0


async def test_hs_02_a_cookie_without_an_origin_is_refused(site: Site, cookie: str) -> None:
    """A program that sends Alice's cookie must name an allowed page; one with a token needs none."""
    await site.refused(await site.attempt(cookie), 403, "origin_denied")
    assert await who(site, site.bearer()) == "alice"
    assert await who(site, f"Origin: {ORIGIN}", cookie) == "alice"


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("null", id="HS-03"),
        pytest.param("https://evilapp.example.com", id="HS-05 prefix"),
        pytest.param("https://app.example.com.", id="HS-05 dot"),
        pytest.param("https://app.example.com/", id="HS-05 slash"),
        pytest.param("https://xapp.example.com", id="HS-05 infix"),
        pytest.param("https://app.example.com.evil.example", id="HS-05 suffix"),
        pytest.param("https://appXexample.com", id="HS-06 first dot"),
        pytest.param("https://app.exampleXcom", id="HS-06 second dot"),
        pytest.param("http://app.example.com", id="HS-07 scheme"),
        pytest.param("https://app.example.com:8443", id="HS-07 port"),
        pytest.param("https://app.example.com@evil.example", id="HS-09 userinfo"),
        pytest.param("https://app.example.com`evil.example", id="HS-09 backtick"),
        pytest.param("https://app.example.com%60evil.example", id="HS-09 escaped backtick"),
        pytest.param("https://app.example.com%00.evil.example", id="HS-09 escaped NUL"),
        pytest.param("https://[::1]", id="HS-09 address"),
        pytest.param("https://\xd0\xb0pp.example.com", id="HS-11 Cyrillic"),
        pytest.param("https://app.example.co\u212a".encode().decode("latin-1"), id="HS-11 Kelvin sign"),
        pytest.param("https://app.example.com, https://evil.example", id="HS-13 list"),
        pytest.param("https://app.example.com https://evil.example", id="HS-13 list by spaces"),
        pytest.param("https://x.app.example.com", id="HS-14 child"),
        pytest.param("https://example.com", id="HS-14 parent"),
        pytest.param("*", id="wildcard"),
    ],
)
async def test_hs_03_to_14_only_the_very_origin_is_allowed(site: Site, cookie: str, origin: str) -> None:
    """What resembles the allowed page in any way is another page, whatever the credentials."""
    before = reached(site)
    for credentials in (cookie, site.bearer()):
        await site.refused(await site.attempt(f"Origin: {origin}", credentials), 403, "origin_denied")
    assert reached(site) == before


async def test_hs_10_the_case_of_an_origin_does_not_matter(site: Site, cookie: str) -> None:
    """Letters of an Origin are folded (RFC 6455 section 4.2.2), and nothing else is."""
    assert await who(site, f"Origin: {ORIGIN.upper()}", cookie) == "alice"


START = {
    "HS-15 every page and a cookie": ('[server]\norigins = ["*"]', "origins"),
    "HS-15 every page of a route and a cookie": ('[[routes]]\nupstream = "echo"\norigins = ["*"]', "origins"),
    "HS-03 null": ('[server]\norigins = ["null"]', "null"),
    "HS-41 plain text for other machines": ('[server]\nhost = "0.0.0.0"', "server.host"),
}


@pytest.mark.parametrize("name", START)
async def test_hs_15_41_what_is_unsafe_does_not_start(tmp_path: Path, name: str) -> None:
    """It ends with a line that names the setting."""
    config, named = START[name]
    with pytest.raises(RuntimeError, match=named):
        async with serving(tmp_path, config=f"{config}\n"):
            pass  # it does not come to that


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param(("Origin: http://127.0.0.1:{port}", "Sec-Fetch-Site: cross-site"), 403, id="own page"),
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: same-origin"), 403, id="another"),
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: cross-site"), 101, id="allowed"),
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: same-site"), 101, id="same site"),
        pytest.param(("Origin: https://evil.example", "Sec-Fetch-Site: same-origin"), 403, id="foreign page"),
    ],
)
async def test_hs_45_fetch_metadata_may_only_say_no(
    site: Site, cookie: str, lines: tuple[str, ...], status: int
) -> None:
    """Sec-Fetch-Site that contradicts the Origin refuses, and never allows what the Origin does not."""
    sent = [line.format(port=site.port) for line in lines]
    answer = await site.attempt(f"Host: 127.0.0.1:{site.port}", *sent, cookie)
    assert answer.status == status
    if status != 101:
        await site.refused(answer, 403, "origin_denied")


async def test_hs_46_by_default_only_our_own_page_is_allowed(tmp_path: Path) -> None:
    """Without `origins` no other page may connect, whatever its credentials; ours may."""
    async with serving(tmp_path, config='[[routes]]\nupstream = "echo"\n') as server:
        port = port_of(server.http)
        for origin, status in ((ORIGIN, 403), (server.http, 101), ("http://127.0.0.1:1", 403)):
            async with wire(port, request("/ws", f"Origin: {origin}")) as client:
                assert (await client.answer()).status == status, origin


# The request's head.


async def never(site: Site, head: bytes, *statuses: int) -> Answer:
    """See that a head is refused with one of these statuses, in one line of the log, and no upstream hears of it."""
    before = reached(site)
    async with wire(site.port, head) as mallory:
        answer = await mallory.answer()
        assert answer.status in statuses, (answer.status, answer.body)
        assert answer.header("connection") == "close"
        await site.told(answer)
        assert await mallory.cut(within=2)
    assert reached(site) == before
    return answer


@pytest.mark.parametrize(
    "host",
    [
        *("app.example/abc?x=", "a#b", "a\tb", "a b", "user@127.0.0.1", "127.0.0.1:port", "[::1", "a\\b", "", "a?b"),
        *("127.0.0.1, 127.0.0.1", "127.0.0.1/", "127.0.0.1:123456"),
    ],
)
async def test_hs_17_a_host_that_is_no_host_is_refused(site: Site, host: str) -> None:
    """What stands in Host beyond a name and a port reaches nobody."""
    await never(site, request("/ws", f"Host: {host}", site.bearer()), 400)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.2", "localhost.evil.example", "127.0.0.1.", "2130706433"])
async def test_hs_17_a_host_that_is_not_ours_is_misdirected(site: Site, host: str) -> None:
    """A name that was rebound to our address finds nobody (421)."""
    await never(site, request("/ws", f"Host: {host}", site.bearer()), 421)


async def test_hs_18_a_handshake_without_host_is_refused(site: Site) -> None:
    """HTTP/1.1 needs a Host (RFC 9112 section 3.2)."""
    await never(site, request("/ws", site.bearer(), without=("Host",)), 400)


async def test_hs_19_two_hosts_are_refused(site: Site) -> None:
    """Two Host lines mean two things to two readers, also where both say the same."""
    for second in ("evil.example", "127.0.0.1"):
        await never(site, request("/ws", "Host: 127.0.0.1", f"Host: {second}", site.bearer()), 400)


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "CONNECT", "get", "GET\t", "G ET", ""])
async def test_hs_21_only_get_is_a_handshake(site: Site, method: str) -> None:
    """Any other method with the headers of an upgrade is refused, and no body is waited for."""
    head = request("/ws", site.bearer(), start=f"{method} /ws HTTP/1.1")
    answer = await never(site, head, 400, 405)
    if answer.status == 405:
        assert answer.header("allow") == "GET"


@pytest.mark.parametrize("target", ["http://127.0.0.1/ws", "http://evil.example/admin", "ws://127.0.0.1/ws", "*", "ws"])
async def test_hs_22_a_target_is_a_path(site: Site, target: str) -> None:
    """An absolute target is refused, whatever its authority."""
    await never(site, request("", site.bearer(), start=f"GET {target} HTTP/1.1"), 400)


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", ""])
async def test_hs_22_only_http_1_1_can_be_upgraded(site: Site, version: str) -> None:
    """HTTP/1.0 has no upgrade, and other versions are not spoken."""
    await never(site, request("", site.bearer(), start=f"GET /ws {version}"), 400)


PATHS = [
    *("//ws", "/WS", "/ws/", "/%77s", "/ws%2f..%2fadmin", "/ws;x=1", "/healthz/../ws", "/ws/../admin", "/./ws"),
    *("//admin", "/admin/", "/%61dmin", "/admin;x=1", "/%2e%2e/admin", "/anonymous/../ws", "/anonymous/../admin"),
    *("/anonymous/", "/anonymous%2f..%2fws", "/ANONYMOUS", "/./anonymous", "/anonymous;/../admin"),
    "/anonymous\\..\\ws",
]


@pytest.mark.parametrize("path", PATHS)
async def test_hs_23_no_spelling_of_a_path_gets_around_its_policy(site: Site, path: str) -> None:
    """What is not exactly a route's path is nobody's: it opens nothing, without and with credentials."""
    before = reached(site)
    for lines in ((), (site.bearer("bob"),)):
        answer = await site.attempt(*lines, path=path)
        assert (answer.status, answer.code) in ((404, "not_found"), (400, "request_invalid")), (path, answer)
        await site.told(answer)
    assert reached(site) == before


async def test_hs_23_a_query_changes_no_policy(site: Site) -> None:
    """What stands behind the question mark is no path."""
    for path in ("/admin?", "/admin?/anonymous", "/admin?x=/anonymous"):
        await site.refused(await site.attempt(site.bearer("bob"), path=path), 403, "permission_denied")
        assert await who(site, site.bearer(roles=["admin"]), path=path) == "alice"


@pytest.mark.parametrize("path", ["/ws\x00", "/ws\x7f", "/ws\xff", "/w s", "/ws\t", "/ws#x", "/ws\x0b"])
async def test_hs_25_control_bytes_in_a_path_are_refused(site: Site, path: str) -> None:
    """A path of anything but visible ASCII is no path."""
    await never(site, request(path, site.bearer()), 400)


BAD_KEYS = {
    "absent": (),
    "empty": ("Sec-WebSocket-Key:",),
    "15 bytes": (f"Sec-WebSocket-Key: {b64encode(bytes(15)).decode()}",),
    "17 bytes": (f"Sec-WebSocket-Key: {b64encode(bytes(17)).decode()}",),
    "no base64": ("Sec-WebSocket-Key: ************************",),
    "bits left over": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==",),
    "two lines": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw=="),
    "the same twice": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_hs_26_a_bad_key_is_refused(site: Site, name: str) -> None:
    """Sec-WebSocket-Key is 16 bytes in base64, once."""
    await never(site, request("/ws", *BAD_KEYS[name], site.bearer(), without=("Sec-WebSocket-Key",)), 400)


@pytest.mark.parametrize("version", ["8", "12", "1337", "13, 8", "", "013", "13\r\nSec-WebSocket-Version: 8", None])
async def test_hs_27_another_version_is_refused(site: Site, version: str | None) -> None:
    """There is one version of the protocol, and the answer names it."""
    line = () if version is None else (f"Sec-WebSocket-Version: {version}",)
    head = request("/ws", *line, site.bearer(), without=("Sec-WebSocket-Version",))
    answer = await never(site, head, 426)
    assert answer.header("sec-websocket-version") == "13"


# Credentials.


async def test_hs_29_the_token_is_not_answered_as_subprotocol_and_reaches_nobody(site: Site) -> None:
    """The answer to `wsauth.v1` and a token is `wsauth.v1`; the upstream sees neither."""
    good = site.token()
    answer = await site.attempt(f"{SPEAKS}, wsauth.bearer.{good}", path="/played")
    assert (answer.status, answer.header("sec-websocket-protocol")) == (101, "wsauth.v1")
    assert good not in str(answer.headers)
    (head,) = site.played.heads
    assert head.all("sec-websocket-protocol") == []
    assert good not in str(head)
    assert good not in site.serving.output()


async def test_hs_30_a_token_as_the_only_offer_is_refused(site: Site) -> None:
    """A client that offers nothing but its token would have to get it back."""
    answer = await site.attempt(f"Sec-WebSocket-Protocol: wsauth.bearer.{site.token()}")
    assert 400 <= answer.status < 500
    assert answer.header("sec-websocket-protocol") == ""
    await site.told(answer)


AMBIGUOUS = {
    "two offers": (SPEAKS + ", wsauth.bearer.{0}, wsauth.bearer.{1}",),
    "two lines": (SPEAKS + ", wsauth.bearer.{0}", "Sec-WebSocket-Protocol: wsauth.bearer.{1}"),
    "header and offer": ("Authorization: Bearer {0}", SPEAKS + ", wsauth.bearer.{1}"),
    "the same twice": (SPEAKS + ", wsauth.bearer.{0}, wsauth.bearer.{0}",),
    "ticket and offer": (SPEAKS + ", wsauth.ticket.abc, wsauth.bearer.{0}",),
    "two headers": ("Authorization: Bearer {0}", "Authorization: Bearer {1}"),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_hs_31_two_credentials_are_refused(site: Site, name: str) -> None:
    """Who presents two credentials might be two."""
    tokens = site.token("alice"), site.token("bob")
    before = reached(site)
    answer = await site.attempt(*(line.format(*tokens) for line in AMBIGUOUS[name]))
    await site.refused(answer, 400, "credentials_ambiguous")
    assert reached(site) == before


HOSTILE = {
    "HS-33 spaces": "Sec-WebSocket-Protocol: b" + " " * 60_000 + "x",
    "HS-33 spaces that fit": "Sec-WebSocket-Protocol: b" + " " * 8_000 + "x",
    "HS-34 backslashes": 'Sec-WebSocket-Extensions: a;b="' + "\\c" * 40,
    "HS-34 many backslashes": 'Sec-WebSocket-Extensions: a;b="' + "\\c" * 3_500,
    "HS-35 many offers": "Sec-WebSocket-Extensions: " + ", ".join(["permessage-deflate"] * 400),
    "HS-35 a thousand lines": "\r\n".join(["Sec-WebSocket-Extensions: permessage-deflate"] * 1_000),
    "CK-14 many cookies": "Cookie: " + "; ".join(f"a{number}=b" for number in range(900)),
    "CK-14 a long cookie": "Cookie: wsauth=" + "b" * 65_536,
    "RX-09 a long header": "X: " + "b" * 100_000,
    "RX-09 a thousand headers": "\r\n".join(f"X-{number}: b" for number in range(1_000)),
    "RX-09 a long name": "X" * 12_000 + ": b",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/ws", "/played"])
async def test_hs_33_34_35_rx_09_a_hostile_head_costs_little(site: Site, name: str, path: str) -> None:
    """A head built to cost time is answered at once, and no extension is agreed on."""
    began = time.monotonic()
    answer = await site.attempt(HOSTILE[name], site.bearer(), path=path)
    assert time.monotonic() - began < SOON
    assert answer.status in (101, 400, 431)
    assert answer.header("sec-websocket-extensions") == ""


@pytest.mark.parametrize("length", [8_001, 15_000, 70_000])
async def test_rx_09_a_long_target_is_refused(site: Site, length: int) -> None:
    """414 where the head is not too large as a whole, else 431."""
    await never(site, request("/ws?" + "x" * length, site.bearer()), 414 if length < 16_000 else 431)


OFFERS = [
    "permessage-deflate; server_max_window_bits=99",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=10; client_max_window_bits=11",
    "permessage-deflate; x=1",
    "permessage-deflate;",
    "x-unknown",
    'permessage-deflate; server_max_window_bits="1',
]


@pytest.mark.parametrize("offer", OFFERS)
async def test_hs_35_a_hostile_offer_is_declined_and_not_passed_on(site: Site, offer: str) -> None:
    """Parameters that RFC 7692 forbids reach no upstream, and nothing is agreed on."""
    answer = await site.attempt(f"Sec-WebSocket-Extensions: {offer}", site.bearer(), path="/played")
    assert (answer.status, answer.header("sec-websocket-extensions")) == (101, "")
    assert site.played.heads[-1].all("sec-websocket-extensions") == []


MALFORMED = {
    "empty": ("Authorization:",),
    "no token": ("Authorization: Bearer",),
    "spaces": ("Authorization: Bearer   ",),
    "two words": ("Authorization: Bearer {0} x",),
    "comma": ("Authorization: Bearer {0}, Bearer {0}",),
    "basic": ("Authorization: Basic x",),
    "basic without colon": ("Authorization: Basic YWxpY2U=",),
    "another scheme": ("Authorization: Digest {0}",),
    "no scheme": ("Authorization: {0}",),
    "lower case alone": ("Authorization: bearer",),
}


@pytest.mark.parametrize("path", ["/ws", "/anonymous", "/basic"])
@pytest.mark.parametrize("name", MALFORMED)
async def test_hs_37_a_malformed_authorization_is_nobodys(site: Site, name: str, path: str) -> None:
    """A header that cannot be read is refused, and never taken for none, not even where nobody may connect."""
    before = reached(site)
    answer = await site.attempt(*(line.format(site.token()) for line in MALFORMED[name]), path=path)
    await site.refused(answer, 401, "credentials_invalid")
    assert answer.header("www-authenticate") == "Bearer"
    assert reached(site) == before


async def test_hs_37_the_scheme_is_read_in_any_case(site: Site) -> None:
    """`bearer` is Bearer (RFC 9110 section 11.1)."""
    assert await who(site, f"authorization: bEARER {site.token()}") == "alice"


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "TOKEN", "tok%65n", "access%5ftoken"])
async def test_hs_38_a_good_token_in_the_query_is_refused(site: Site, name: str) -> None:
    """A token in a URL is refused although it is good, told of, and not written down."""
    good, before = site.token(), reached(site)
    for value in (good, quote(f"Bearer {good}")):
        answer = await site.attempt(path=f"/ws?x=1&{name}={value}")
        await site.refused(answer, 400, "credentials_in_query")
    assert good not in site.serving.output()
    assert reached(site) == before


async def test_hs_39_frames_glued_to_a_refused_handshake_are_never_seen(site: Site) -> None:
    """What Mallory sends before she is refused reaches nobody, and does not take the answer from her."""
    glued = frame("glued by mallory"), frame("and more" * 10_000)
    for lines in ((f"Authorization: Bearer {site.forged()}",), ("Origin: https://evil.example", site.bearer())):
        before = reached(site)
        async with wire(site.port, request("/ws", *lines), *glued) as mallory:
            answer = await mallory.answer()
            await site.told(answer)
            assert answer.status in (401, 403)
            assert await mallory.cut(within=3)
        assert reached(site) == before
    assert "glued by mallory" not in site.echo.delivered


@pytest.mark.parametrize("way", ["header", "subprotocol", "nobody"])
async def test_hs_39_frames_glued_to_a_good_handshake_come_whole_and_in_order(site: Site, way: str) -> None:
    """They wait for the decision, then reach the upstream as Alice's, before whatever she sends then."""
    token = site.token()
    lines, path, name = {
        "header": ([f"Authorization: Bearer {token}"], "/ws", "alice"),
        "subprotocol": ([f"{SPEAKS}, wsauth.bearer.{token}"], "/ws", "alice"),
        "nobody": ([], "/anonymous", ""),
    }[way]
    async with wire(site.port, request(path, *lines), frame("one"), frame("two")[:3]) as alice:
        assert (await alice.answer()).status == 101
        if way == "subprotocol":
            await alice.message("auth_success")
        assert await alice.text() == f"{name}: one"
    async with wire(site.port, request(path, *lines), frame("one"), frame("two")) as alice:
        assert (await alice.answer()).status == 101
        alice.send(frame("three"))
        if way == "subprotocol":
            await alice.message("auth_success")
        assert [await alice.text() for _ in range(3)] == [f"{name}: {each}" for each in ("one", "two", "three")]


async def test_a_browser_reads_why_in_a_close_frame_and_the_upstream_is_not_asked(site: Site) -> None:
    """An allowed page's refusal is accepted and closed with code and reason; what it sent is dropped, TCP ends."""
    before = reached(site)
    offer = f"{SPEAKS}, wsauth.bearer.{site.forged()}"
    async with wire(site.port, request("/ws", f"Origin: {ORIGIN}", offer), frame("glued by mallory")) as page:
        answer = await page.answer()
        assert answer.status == 101
        error = await page.message("auth_error")
        assert (error["code"], error["closing"]) == ("token_invalid", True)
        end = await page.closed()
        assert (end.close_code, end.reason) == (3000, "token_invalid")
        await site.told(end, "token_invalid")
        assert await page.ended(within=3)
    assert reached(site) == before
    assert json.dumps("glued by mallory") not in json.dumps([str(each) for each in site.echo.delivered])
