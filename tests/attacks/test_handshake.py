"""ATTACKS.md, group "Handshake and origin", with CK-02, CK-03, CK-14 and RX-09: every test is named by its row."""

import asyncio
import time
from base64 import b64encode

import pytest

from tests.attacks.cast import COOKIE, ORIGIN, PASSWORDS, SECRET, token
from tests.attacks.wire import CLOSE, PATIENCE, Answer, Wire, ask, frame, request, wire
from tests.servers import SERVERS, Running
from wsauth import ConfigurationError, Guard, JWTVerifier, Route

everywhere = pytest.mark.parametrize("target", SERVERS, indirect=True)
REFUSED = 400
"""The least status of a refusal; 0 is a server that hangs up."""


async def attempt(target: Running, *lines: str, path: str = "/ws", without: tuple[str, ...] = ()) -> Answer:
    """Return the answer to a handshake with these lines."""
    async with wire(target.port, request(path, *lines, without=without)) as mallory:
        return await answer_of(target, mallory)


async def answer_of(target: Running, mallory: Wire) -> Answer:
    """Return the answer to a handshake; daphne's, which can only accept and close, as one of status 0."""
    return await (mallory.verdict() if target.server == "daphne" else mallory.answer())


def bearer(**changes: object) -> str:
    """Return the header with a good token."""
    return f"Authorization: Bearer {token(**changes)}"  # type: ignore[arg-type]  # claims of any kind


def login() -> str:
    """Return the header with the cookie of Alice's login."""
    return f"Cookie: {COOKIE}={token()}"


def refused(answer: Answer) -> bool:
    """Tell a refusal, by the server or by us, from a 101."""
    return answer.status == 0 or answer.status >= REFUSED


async def status_of(target: Running, head: bytes) -> int:
    """Return the status alone, since a server may promise a body to HEAD."""
    async with wire(target.port, head) as mallory, asyncio.timeout(PATIENCE):
        return int((await mallory.reader.readuntil(b"\r\n\r\n")).split(b" ")[1])


async def open_as(target: Running, mallory: Wire) -> str:
    """Return who the application says a connection is."""
    assert (await mallory.answer()).status == 101
    mallory.send(frame("hi"))
    return (await mallory.text()).partition(":")[0]


# Origins.


@everywhere
async def test_hs_01_a_foreign_page_with_alices_cookie_is_refused_and_told_of(target: Running) -> None:
    """A page of Mallory's cannot use the cookie of Alice's login (CSWSH)."""
    before = len(await ask(target.port, "events"))
    answer = await attempt(target, "Origin: https://evil.example", login())
    assert answer.status == 403
    assert answer.code in ("origin_denied", "")
    assert (await ask(target.port, "events"))[before:] == [["HandshakeRefused", "origin_denied", "/ws"]]


@everywhere
async def test_hs_02_a_cookie_without_an_origin_is_refused(target: Running) -> None:
    """A program that sends Alice's cookie must name an allowed page."""
    assert (await attempt(target, login())).status in (403, 0)


async def test_hs_02_other_credentials_need_no_origin(target: Running) -> None:
    """A program with a token of its own has no Origin, and gets in."""
    async with wire(target.port, request("/ws", bearer())) as alice:
        assert await open_as(target, alice) == "alice"


async def test_hs_02_the_cookie_from_an_allowed_page_is_good(target: Running) -> None:
    """The refusals around it mean something: from the allowed page the cookie opens."""
    async with wire(target.port, request("/ws", f"Origin: {ORIGIN}", login())) as alice:
        assert await open_as(target, alice) == "alice"


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
        pytest.param("https://app.example.com:443", id="HS-07 default port, which no browser writes"),
        pytest.param("https://app.example.com@evil.example", id="HS-09 userinfo"),
        pytest.param("https://app.example.com`evil.example", id="HS-09 backtick"),
        pytest.param("https://app.example.com%60evil.example", id="HS-09 escaped backtick"),
        pytest.param("https://app.example.com%00.evil.example", id="HS-09 escaped NUL"),
        pytest.param("https://[::1]", id="HS-09 address"),
        pytest.param("https://\xd0\xb0pp.example.com", id="HS-11 Cyrillic"),
        pytest.param("https://app.example.co\u212a".encode("utf-8").decode("latin-1"), id="HS-11 Kelvin sign"),
        pytest.param("https://app.example.com, https://evil.example", id="HS-13 list"),
        pytest.param("https://app.example.com https://evil.example", id="HS-13 list by spaces"),
        pytest.param("https://x.app.example.com", id="HS-14 child"),
        pytest.param("https://example.com", id="HS-14 parent"),
        pytest.param("*", id="wildcard"),
    ],
)
async def test_hs_03_to_14_only_the_very_origin_is_allowed(target: Running, origin: str) -> None:
    """What resembles the allowed page in any way is another page."""
    for credentials in (login(), bearer()):
        answer = await attempt(target, f"Origin: {origin}", credentials)
        assert (answer.status, answer.code) == (403, "origin_denied")


async def test_hs_10_the_case_of_an_origin_does_not_matter(target: Running) -> None:
    """Letters of an Origin are folded, as RFC 6455 section 4.2.2 says, and nothing else is."""
    async with wire(target.port, request("/ws", f"Origin: {ORIGIN.upper()}", login())) as alice:
        assert await open_as(target, alice) == "alice"


def test_hs_15_every_page_and_a_cookie_do_not_start() -> None:
    """Origins of `*` beside a cookie are refused at start, by the name of the setting."""
    verifier = JWTVerifier(issuer="https://i.example", audience="chat", secret=SECRET, cookie="sid")
    with pytest.raises(ConfigurationError, match="origins"):
        Guard(verifiers=[verifier], origins=["*"])
    with pytest.raises(ConfigurationError, match="origins"):
        Guard(verifiers=[verifier], origins=[], routes=[Route("/open", origins=["*"])])
    with pytest.raises(ConfigurationError, match="null"):
        Guard(verifiers=[verifier], origins=["null"])


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: cross-site", "Host: app.example.com"), 403, id="own page"),
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: same-origin", "Host: api.example.com"), 403, id="another"),
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: cross-site", "Host: api.example.com"), 101, id="allowed"),
        pytest.param((f"Origin: {ORIGIN}", "Sec-Fetch-Site: same-site", "Host: api.example.com"), 101, id="same site"),
        pytest.param(("Origin: https://evil.example", "Sec-Fetch-Site: same-origin"), 403, id="foreign page"),
    ],
)
async def test_hs_45_fetch_metadata_may_only_say_no(target: Running, lines: tuple[str, ...], status: int) -> None:
    """Sec-Fetch-Site that contradicts the Origin refuses, and never allows what the Origin does not."""
    assert (await attempt(target, *lines, login())).status == status


def test_hs_46_no_page_is_allowed_by_default() -> None:
    """A guard without `origins` cannot be made, so no CORS setting is ever assumed to stand in for it."""
    with pytest.raises(TypeError, match="origins"):
        Guard(verifiers=[])  # type: ignore[call-arg]  # that is the attack


# The request's head.


@pytest.mark.parametrize(
    "host",
    ["app.example/abc?x=", "a#b", "a\tb", "a b", "user@app.example", "app.example:port", "[::1", "a\\b", "", "a?b"],
)
@everywhere
async def test_hs_17_a_host_that_is_no_host_is_refused(target: Running, host: str) -> None:
    """What stands in Host beyond a name and a port does not reach the application."""
    assert refused(await attempt(target, f"Host: {host}", bearer()))


@everywhere
async def test_hs_18_a_handshake_without_host_is_refused(target: Running) -> None:
    """HTTP/1.1 needs a Host (RFC 9112 section 3.2)."""
    assert refused(await attempt(target, bearer(), without=("Host",)))


@everywhere
async def test_hs_19_two_hosts_are_refused(target: Running) -> None:
    """Two Host lines mean two things to two readers; daphne shows only one of them, so there nobody can see it."""
    answer = await attempt(target, "Host: a", "Host: b", bearer())
    assert refused(answer) or target.server == "daphne"


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "CONNECT", "get"])
@everywhere
async def test_hs_21_another_method_opens_nothing_or_is_judged_as_get(target: Running, method: str) -> None:
    """A handshake is a GET; granian, and hypercorn for `get`, do not look, and then the guard asks as ever."""
    looks = target.server != "granian" and (target.server, method) != ("hypercorn", "get")
    start = f"{method} /ws HTTP/1.1"
    assert (await status_of(target, request("/ws", bearer(), start=start)) == 101) is not looks
    assert await status_of(target, request("/ws", bearer(secret="x" * 32), start=start)) in (
        (200, 400, 405) if looks else (401,)
    )


@everywhere
async def test_hs_22_an_absolute_target_is_refused_or_means_its_path(target: Running) -> None:
    """The policy of an absolute-form target is that of its path, whatever its authority says."""
    head = request("", start="GET http://other.example/admin HTTP/1.1")
    head = head.replace(b"\r\n\r\n", f"\r\n{bearer()}\r\n\r\n".encode())
    async with wire(target.port, head) as mallory:
        assert refused(await answer_of(target, mallory))


@pytest.mark.parametrize(
    "path",
    [
        "//admin",
        "/admin/",
        "/%61dmin",
        "/ws%2f..%2fadmin",
        "/ws/../admin",
        "/admin;x=1",
        "/admin?",
        "/anonymous/../ws",
        "/anonymous/",
        "/anonymous%2f..%2fws",
        "/ANONYMOUS",
        "/./anonymous",
        "/ws?/anonymous",
    ],
)
@everywhere
async def test_hs_23_no_spelling_of_a_path_gets_around_its_policy(target: Running, path: str) -> None:
    """Without credentials every spelling is refused or pending, and with Bob's it never opens what only admins may."""
    async with wire(target.port, request(path)) as mallory:
        answer = await mallory.answer()
        if answer.status == 101:
            first = await mallory.frame()
            assert first is not None
            assert first.opcode == CLOSE or b"auth_required" in first.payload
    decoded = path.replace("%61", "a").partition("?")[0]
    if decoded == "/admin":
        assert refused(await attempt(target, bearer(subject="bob", roles=["member"]), path=path))


@pytest.mark.parametrize("path", ["/ws\x00", "/ws\x7f", "/ws\xff", "/w s", "/ws\t"])
@everywhere
async def test_hs_25_control_bytes_in_a_path_are_refused(target: Running, path: str) -> None:
    """A path of anything but visible ASCII is no path."""
    assert refused(await attempt(target, bearer(), path=path))


BAD_KEYS = {
    "absent": (),
    "15 bytes": (f"Sec-WebSocket-Key: {b64encode(bytes(15)).decode()}",),
    "17 bytes": (f"Sec-WebSocket-Key: {b64encode(bytes(17)).decode()}",),
    "no base64": ("Sec-WebSocket-Key: ************************",),
    "two lines": ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw=="),
}


@pytest.mark.parametrize("lines", BAD_KEYS.values(), ids=BAD_KEYS)
@everywhere
async def test_hs_26_a_bad_key_is_refused(target: Running, lines: tuple[str, ...]) -> None:
    """Sec-WebSocket-Key is 16 bytes in base64, once."""
    assert refused(await attempt(target, *lines, bearer(), without=("Sec-WebSocket-Key",)))


@pytest.mark.parametrize("version", ["8", "12", "1337", "13, 8", "", "13\r\nSec-WebSocket-Version: 8"])
@everywhere
async def test_hs_27_another_version_is_refused(target: Running, version: str) -> None:
    """There is one version of the protocol."""
    assert refused(await attempt(target, f"Sec-WebSocket-Version: {version}", bearer()))


# Credentials.


@everywhere
async def test_hs_29_the_token_is_not_answered_as_subprotocol(target: Running) -> None:
    """The answer to `wsauth.v1` and a token is `wsauth.v1`, and the token reaches nobody but us."""
    good = token()
    offer = f"Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{good}"
    async with wire(target.port, request("/ws", offer)) as alice:
        answer = await alice.answer()
        assert (answer.status, answer.header("sec-websocket-protocol")) == (101, "wsauth.v1")
        assert good not in str(answer.headers)
        await alice.message("auth_success")
        alice.send(frame("scope"))
        seen = await alice.text()
        assert good not in seen
        assert "wsauth." not in seen
    assert good not in target.output()


@everywhere
async def test_hs_30_a_token_as_the_only_offer_is_refused(target: Running) -> None:
    """A client that offers nothing but its token would have to get it back."""
    answer = await attempt(target, f"Sec-WebSocket-Protocol: wsauth.bearer.{token()}")
    assert refused(answer)
    assert answer.header("sec-websocket-protocol") == ""


AMBIGUOUS = {
    "two offers": ("Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{0}, wsauth.bearer.{1}",),
    "two lines": (
        "Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{0}",
        "Sec-WebSocket-Protocol: wsauth.bearer.{1}",
    ),
    "header and offer": ("Authorization: Bearer {0}", "Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{1}"),
    "the same twice": ("Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{0}, wsauth.bearer.{0}",),
    "ticket and offer": ("Sec-WebSocket-Protocol: wsauth.v1, wsauth.ticket.abc, wsauth.bearer.{0}",),
}


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
@everywhere
async def test_hs_31_two_credentials_are_refused(target: Running, lines: tuple[str, ...]) -> None:
    """Who presents two credentials might be two."""
    tokens = token("alice"), token("bob")
    assert refused(await attempt(target, *(line.format(*tokens) for line in lines)))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("Sec-WebSocket-Protocol: b" + " " * 60_000 + "x", id="HS-33"),
        pytest.param('Sec-WebSocket-Extensions: a;b="' + "\\c" * 40, id="HS-34"),
        pytest.param('Sec-WebSocket-Extensions: a;b="' + "\\c" * 3_500, id="HS-34 long"),
        pytest.param("Sec-WebSocket-Extensions: " + ", ".join(["permessage-deflate"] * 300), id="HS-35 many"),
        pytest.param("Cookie: " + "; ".join(f"a{number}=b" for number in range(5_000)), id="CK-14 many"),
        pytest.param("Cookie: a=" + "b" * 65_536, id="CK-14 long"),
        pytest.param(f"Cookie: {COOKIE}=" + "b" * 65_536, id="CK-14 ours"),
        pytest.param("X: " + "b" * 100_000, id="RX-09 long"),
        pytest.param("\r\n".join(f"X-{number}: b" for number in range(1_000)), id="RX-09 many"),
    ],
)
async def test_hs_33_34_35_ck_14_rx_09_a_hostile_head_costs_little(target: Running, line: str) -> None:
    """A head built to cost time is answered, or left waiting at the server's price, while others are served."""
    async with wire(target.port, request("/ws", line, bearer())) as mallory:
        began = time.monotonic()
        async with wire(target.port, request("/ws", bearer())) as alice:
            assert await open_as(target, alice) == "alice"
        assert time.monotonic() - began < 1
        try:
            answer = await mallory.answer(within=1)
        except TimeoutError:
            return  # uvicorn never answers a header line of more than 8 KiB (ARCHITECTURE, fact 5)
        assert answer.status in (0, 101, 400, 431)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=7",
        "x-unknown",
    ],
)
@everywhere
async def test_hs_35_a_hostile_deflate_offer_is_not_taken(target: Running, offer: str) -> None:
    """Parameters that RFC 7692 forbids are declined with the extension, or with the handshake."""
    answer = await attempt(target, f"Sec-WebSocket-Extensions: {offer}", bearer())
    assert refused(answer) or answer.header("sec-websocket-extensions") == ""


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
    "two lines": ("Authorization: Bearer {0}", "Authorization: Bearer {0}"),
    "lower case alone": ("Authorization: bearer",),
}


@pytest.mark.parametrize("path", ["/ws", "/anonymous"])
@pytest.mark.parametrize("lines", MALFORMED.values(), ids=MALFORMED)
@everywhere
async def test_hs_37_a_malformed_authorization_is_nobodys(target: Running, lines: tuple[str, ...], path: str) -> None:
    """A header that cannot be read is refused, and never taken for none, not even where nobody may connect."""
    good = token()
    answer = await attempt(target, *(line.format(good) for line in lines), path=path)
    assert refused(answer)
    if answer.status == 401:
        assert answer.header("www-authenticate") == "Bearer"


async def test_hs_37_the_scheme_is_read_in_any_case(target: Running) -> None:
    """`bearer` is Bearer (RFC 9110 section 11.1)."""
    async with wire(target.port, request("/ws", f"authorization: bEARER {token()}")) as alice:
        assert await open_as(target, alice) == "alice"


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "TOKEN", "tok%65n", "access%5ftoken"])
@everywhere
async def test_hs_38_a_good_token_in_the_query_is_refused(target: Running, name: str) -> None:
    """A token in a URL is refused although it is good, told of, and not written down."""
    good = token()
    before = len(await ask(target.port, "events"))
    answer = await attempt(target, path=f"/ws?x=1&{name}={good}")
    assert refused(answer)
    assert answer.code == "credentials_in_query"
    assert (await ask(target.port, "events"))[before:] == [["HandshakeRefused", "credentials_in_query", "/ws"]]
    assert good not in target.output()


@everywhere
async def test_hs_39_frames_glued_to_a_refused_handshake_are_never_seen(target: Running) -> None:
    """What Mallory sends before she is refused reaches no application."""
    glued = frame("glued by mallory"), frame("and more")
    async with wire(target.port, request("/ws", f"Authorization: Bearer {token(secret='x' * 32)}"), *glued) as mallory:
        assert refused(await answer_of(target, mallory))
    assert "glued by mallory" not in await ask(target.port, "delivered")


@everywhere
async def test_hs_39_frames_glued_to_a_good_handshake_come_in_order_or_not_at_all(target: Running) -> None:
    """hypercorn refuses them, uvicorn and daphne lose them; elsewhere they are answered in order, as Alice's."""
    good = request("/ws", bearer())
    async with wire(target.port, good, frame("one"), frame("two")) as alice:
        answer = await alice.answer()
        if target.server == "hypercorn":
            assert answer.status == 400
            return
        assert answer.status == 101
        alice.send(frame("three"))
        answered = [await alice.text()]
        while answered[-1] != "alice: three":
            answered.append(await alice.text())
    assert answered in (["alice: three"], ["alice: one", "alice: two", "alice: three"])


# Cookies.


DOUBLED = {
    "twice": ("Cookie: {name}={0}; {name}={1}",),
    "twice, the other first": ("Cookie: {name}={1}; {name}={0}",),
    "two lines": ("Cookie: {name}={0}", "Cookie: {name}={1}"),
    "two lines, the other first": ("Cookie: {name}={1}", "Cookie: {name}={0}"),
}


@pytest.mark.parametrize("lines", DOUBLED.values(), ids=DOUBLED)
@everywhere
async def test_ck_02_a_doubled_cookie_is_refused(target: Running, lines: tuple[str, ...]) -> None:
    """A cookie that somebody tossed beside Alice's makes both worthless."""
    tokens = token("alice"), token("mallory")
    cookies = [line.format(*tokens, name=COOKIE) for line in lines]
    assert refused(await attempt(target, f"Origin: {ORIGIN}", *cookies))


@pytest.mark.parametrize(
    "cookie",
    ["login={}", "__host-login={}", "__HOST-login={}", "__Host-login ={}", "=__Host-login={}", "X__Host-login={}"],
)
async def test_ck_03_a_cookie_of_a_like_name_is_another(target: Running, cookie: str) -> None:
    """Only the very name is the login; with another the client has not said who it is."""
    async with wire(target.port, request("/ws", f"Origin: {ORIGIN}", f"Cookie: {cookie.format(token())}")) as mallory:
        assert (await mallory.answer()).status == 101
        await mallory.message("auth_required")


# Passwords, where a handshake or a message carries them.


def basic(username: str, password: str) -> str:
    """Return the header of RFC 7617."""
    return f"Authorization: Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param("alice", "correct horse battery staple\x00", id="PW-05 NUL at the end"),
        pytest.param("alice\x00", "correct horse battery staple", id="PW-05 NUL in the name"),
        pytest.param("alice", "correct\x00horse", id="PW-05 NUL inside"),
        pytest.param("' OR 1=1--", "x", id="PW-22 SQL"),
        pytest.param("*)(uid=*", "x", id="PW-22 LDAP"),
        pytest.param("%s%n", "x", id="PW-22 format"),
        pytest.param("{{7*7}}", "x", id="PW-22 template"),
        pytest.param("alice", "", id="PW-30 empty password"),
        pytest.param("", "", id="PW-30 empty name"),
        pytest.param("alice", "bob's own long password", id="another's password"),
    ],
)
async def test_pw_05_22_30_no_password_but_the_password_is_good(target: Running, username: str, password: str) -> None:
    """Nothing that resembles a name or a password is one, and each gets the same answer."""
    answer = await attempt(target, basic(username, password), path="/basic")
    assert (answer.status, answer.code) == (401, "credentials_invalid")


async def test_pw_15_a_password_is_good_in_the_header_and_in_a_message(target: Running) -> None:
    """The refusals around it mean something: Alice's password opens by both ways, where the route takes passwords."""
    async with wire(target.port, request("/basic", basic("alice", PASSWORDS["alice"]))) as alice:
        assert await open_as(target, alice) == "alice"
    answer = await attempt(target, basic("alice", PASSWORDS["alice"]))
    assert (answer.status, answer.code) == (401, "credentials_invalid")


async def test_rx_01_02_the_server_in_front_decides_on_silence_before_a_head(target: Running) -> None:
    """Clients that never finish a head are the server's to close (uvicorn does not); they cost Alice nothing."""
    silent = [await asyncio.open_connection("127.0.0.1", target.port) for _ in range(200)]
    for _, writer in silent[::2]:
        writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    async with wire(target.port, request("/ws", bearer())) as alice:
        assert await open_as(target, alice) == "alice"
    for _, writer in silent:
        writer.transport.abort()
