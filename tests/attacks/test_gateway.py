"""ATTACKS.md, group "Gateway / proxy": every test is named by its row.

Elsewhere: GW-10 and GW-11 in test_gateway_kept_alive.py; GW-13 and GW-26 in test_gateway_answers.py; GW-15, GW-17 and
GW-18 in end_to_end/backends/test_seen.py; GW-21 in test_gateway_exhaustion.py and end_to_end/test_gateway_faults.py;
GW-22 in end_to_end/backends/test_in_front.py and end_to_end/test_gateway_closing.py; GW-23 in rfc6455/test_closing.py
and test_upstream_frames.py; GW-25 in end_to_end/test_verify.py and test_proxies.py; GW-27 in
end_to_end/test_store_taken_away.py (an outage) and test_tls.py (a reload with errors).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.attacks.gateway import SPEAKS, Head, Site, gateway
from tests.attacks.wire import Answer, Wire, frame, request, wire

CONFIG = """
[server]
trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]

[roles]
admin = ["panel:open"]

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{echo}"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{played}"
remove_headers = ["X-User", "X-Forwarded-User", "Remote-User", "X-Team-*"]
forward_claims = {email = "X-Email"}

[[routes]]
path = "/admin/*"
upstream = "ws://127.0.0.1:{played}"
require = ["panel:open"]

[[routes]]
path = "/public/*"
upstream = "ws://127.0.0.1:{played}"
anonymous = true
"""
STRANGER = "127.0.0.2"
"""An address on this machine that is none of the proxies."""


@pytest.fixture(scope="module")
async def running(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Run the gateway as long as the tests of this module."""
    async with gateway(tmp_path_factory.mktemp("gateway"), CONFIG) as found:
        yield found


@pytest.fixture
async def site(running: Site) -> AsyncGenerator[Site]:
    """Lend the gateway, and see afterwards that the same process serves the next client."""
    running.played.forget()
    yield running
    await running.serves_the_next()


@asynccontextmanager
async def stranger(site: Site, *parts: bytes) -> AsyncGenerator[Wire]:
    """Connect from an address that is no proxy's."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, local_addr=(STRANGER, 0))
    found = Wire(reader, writer)
    try:
        found.send(*parts)
        yield found
    finally:
        writer.transport.abort()


async def seen(site: Site, *lines: str, path: str = "/played") -> Head:
    """Return what the upstream gets of a stranger's handshake with these lines."""
    async with stranger(site, request(path, *lines)) as client:
        answer = await client.answer()
        assert answer.status == 101, (answer.status, answer.body)
    return site.played.heads[-1]


SPELLINGS = [
    *("X-Wsauth-Subject", "x-wsauth-subject", "X_Wsauth_Subject", "x-wsauth_subject", "X-WSAUTH-SUBJECT"),
    *("X-Wsauth-Roles", "X-Wsauth-Permissions", "X-Wsauth-Issuer", "X-Wsauth-Session", "X-Wsauth-Assertion"),
    *("X-Wsauth-Truncated", "X-Wsauth-Anything-Else", "X_WSAUTH_CONNECTION", "X-Wsauth-Connection"),
    *("X-User", "x_user", "X-Forwarded-User", "x_forwarded_user", "X-FORWARDED-USER", "Remote-User", "remote_user"),
    *("X-Forwarded-For", "X_Forwarded_For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Anything"),
    *("Forwarded", "X-Real-IP", "x_real_ip", "X-Email", "x_email", "X-Team-Name", "x_team_name", "X-Team-"),
]


@pytest.mark.parametrize("where", ["before", "behind", "both", "joined"])
async def test_gw_01_02_03_nothing_that_a_client_says_about_itself_arrives(site: Site, where: str) -> None:
    """Identity headers are removed in every spelling, wherever and however often; ours are there once."""
    spoofed = [f"{name}: mallory" for name in SPELLINGS]
    if where == "joined":
        spoofed = [f"{name}: alice, mallory" for name in SPELLINGS]
    lines = [*(spoofed if where != "behind" else []), site.bearer(roles=["admin"])]
    head = await seen(site, *lines, *(spoofed if where != "before" else []))
    assert [pair for pair in head.headers if "mallory" in pair[1]] == []
    assert {name: head.one(name) for name in ("x-wsauth-subject", "x-wsauth-roles", "x-wsauth-permissions")} == {
        "x-wsauth-subject": "alice",
        "x-wsauth-roles": "admin",
        "x-wsauth-permissions": "panel:open",
    }
    assert head.all("x-email") == []  # Alice's token has no such claim, and nobody else may say so
    assert head.one("x-forwarded-for") == STRANGER
    names = [name.replace("_", "-") for name, _ in head.headers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["X-Wsauth-Subject ", "X-Wsauth-Subject\t", " X-Wsauth-Subject", "X-Wsauth Subject"])
async def test_gw_02_a_name_with_white_space_is_none(site: Site, name: str) -> None:
    """The request is refused, not cleaned: who is behind might read it otherwise."""
    async with stranger(site, request("/played", f"{name}: mallory", site.bearer())) as mallory:
        await site.refused(await mallory.answer(), 400, "request_invalid")
    assert site.played.heads == []


@pytest.mark.parametrize(
    "listed",
    [
        "Upgrade, X-Wsauth-Subject, X-Wsauth-Assertion, X-Wsauth-Roles, Authorization, Host",
        "Upgrade, X_Wsauth_Subject, Sec-WebSocket-Key, Sec-WebSocket-Version, X-Forwarded-For, Cookie",
        "keep-alive, X-Wsauth-Issuer, Upgrade, Connection, Origin",
    ],
)
async def test_gw_05_connection_takes_away_no_header_of_ours(site: Site, listed: str) -> None:
    """What `Connection` names is the client's own and goes; what we add afterwards is there."""
    head = await seen(site, f"Connection: {listed}", "X-Own: 1", "Cookie: theme=dark", site.bearer())
    for name in ("x-wsauth-subject", "x-wsauth-assertion", "x-wsauth-issuer", "x-forwarded-for", "host"):
        assert head.one(name), name
    assert (head.one("connection"), head.one("upgrade"), head.one("sec-websocket-version")) == (
        "Upgrade",
        "websocket",
        "13",
    )
    assert head.one("x-own") == "1"
    assert (head.all("cookie") == []) is ("Cookie" in listed)
    assert head.all("authorization") == []


async def test_gw_05_hop_by_hop_headers_end_here(site: Site) -> None:
    """Headers between two neighbours do not go on (RFC 9110 section 7.6.1), nor do those about a body."""
    gone = ("TE", "Trailer", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "HTTP2-Settings", "Expect")
    head = await seen(site, *(f"{name}: mallory" for name in gone), "Content-Type: text/plain", site.bearer())
    assert [pair for pair in head.headers if pair[1] in ("mallory", "text/plain")] == []


FORWARDED = {
    "none": ([], "127.0.0.1", "http"),
    "one": (["X-Forwarded-For: 203.0.113.7"], "203.0.113.7", "http"),
    "evil in front": (["X-Forwarded-For: 6.6.6.6, 203.0.113.7"], "203.0.113.7", "http"),
    "several lines": (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.7, 10.1.1.1"], "203.0.113.7", "http"),
    "junk in front": (["X-Forwarded-For: 999.1.1.1, <script>, 203.0.113.7"], "203.0.113.7", "http"),
    "IPv6 with port": (["X-Forwarded-For: 6.6.6.6, [2001:db8::7]:4711"], "2001:db8::7", "http"),
    "IPv4 with port": (["X-Forwarded-For: 203.0.113.7:4711"], "203.0.113.7", "http"),
    "proxies only": (["X-Forwarded-For: 10.1.1.1"], "10.1.1.1", "http"),
    "unknown": (["X-Forwarded-For: 203.0.113.7, unknown"], "127.0.0.1", "http"),
    "nothing": (["X-Forwarded-For: "], "127.0.0.1", "http"),
    "standard": (['Forwarded: for=6.6.6.6, for="[2001:db8::7]:1";proto=https'], "2001:db8::7", "https"),
    "https": (["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https"], "203.0.113.7", "https"),
}


@pytest.mark.parametrize("name", FORWARDED)
async def test_gw_06_07_a_proxy_is_believed_about_its_own_client(site: Site, name: str) -> None:
    """The rightmost address that is no proxy's is the client's, for the upstream and in the log alike."""
    lines, address, scheme = FORWARDED[name]
    async with wire(site.port, request("/played", *lines, site.bearer())) as client:
        assert (await client.answer()).status == 101
    head = site.played.heads[-1]
    assert head.one("x-forwarded-for").split(", ")[0] == address
    assert "6.6.6.6" not in head.one("x-forwarded-for")
    assert head.one("x-forwarded-proto") == scheme
    async with wire(site.port, request("/played", *lines, f"Authorization: Bearer {site.forged()}")) as mallory:
        await site.told(await mallory.answer(), f"from {address} ")


@pytest.mark.parametrize("name", FORWARDED)
async def test_gw_06_07_nobody_else_is_believed(site: Site, name: str) -> None:
    """A stranger's word about addresses and schemes counts nothing and does not arrive."""
    lines, _, _ = FORWARDED[name]
    head = await seen(site, *lines, site.bearer())
    assert (head.one("x-forwarded-for"), head.one("x-forwarded-proto")) == (STRANGER, "http")
    assert head.all("forwarded") == []
    async with stranger(site, request("/played", *lines, f"Authorization: Bearer {site.forged()}")) as mallory:
        await site.told(await mallory.answer(), f"from {STRANGER} ")


@pytest.mark.parametrize(
    "path",
    [
        *("/public/../admin/x", "/public/%2e%2e/admin/x", "/public/..%2fadmin/x", "/public/..;/admin/x"),
        *("/public//../admin/x", "/public\\..\\admin\\x", "/public/.%2e/admin/x", "/public/;/../admin/x"),
        *("//admin/x", "/admin//x/../x", "/healthz/../admin/x", "/auth/login/../../admin/x", "/%61dmin/x", "/admin;/x"),
        *("/public/%2e./admin/x", "/public/x/../../admin/x", "/public/%5c..%5cadmin/x"),
    ],
)
async def test_gw_09_no_public_path_leads_to_another(site: Site, path: str) -> None:
    """What a backend might take for the path of a stricter route does not get there as nobody."""
    for lines in ((), (site.bearer("bob"),)):
        answer = await site.attempt(*lines, path=path)
        assert (answer.status, answer.code) in ((400, "request_invalid"), (404, "not_found")), answer
        await site.told(answer)
    assert site.played.heads == []


@pytest.mark.parametrize("path", ["/public/x?/admin/x", "/public/x?next=../admin/x", "/public/a%20b", "/public/%7e"])
async def test_gw_09_what_is_public_gets_there_as_nobody(site: Site, path: str) -> None:
    """The query is no path, and an escape in a segment is part of it; the upstream sees both as they were sent."""
    async with wire(site.port, request(path)) as client:
        assert (await client.answer()).status == 101
    (head,) = site.played.heads
    assert head.target == path
    assert head.all("x-wsauth-subject") == []
    assert head.one("x-wsauth-roles") == "anonymous"


RAW = {
    "a request": b"POST /api HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}",
    "an unmasked frame": bytes.fromhex("8105 68656c6c6f"),
    "an unmasked binary frame": bytes.fromhex("8205 68656c6c6f"),
    "TLS": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "zeros": bytes(1_000),
    "a reserved opcode": frame(b"hello", 3),
    "a reserved bit": frame("hello", rsv=4),
}


@pytest.mark.parametrize("speaks", [False, True], ids=["plain", "speaking"])
@pytest.mark.parametrize("name", RAW)
async def test_gw_14_what_is_no_websocket_is_never_relayed(site: Site, name: str, speaks: bool) -> None:
    """After the 101 frames are followed: anything else ends both sides with 1002, and none of it passes."""
    token = site.token()
    lines = [f"{SPEAKS}, wsauth.bearer.{token}"] if speaks else [f"Authorization: Bearer {token}"]
    async with wire(site.port, request("/played", *lines)) as mallory:
        assert (await mallory.answer()).status == 101
        if speaks:
            await mallory.message("auth_success")
        upstream = await site.played.end()
        mallory.send(frame("before"), RAW[name])
        end = await mallory.closed()
        assert (end.close_code, end.reason) == (1002, "request_invalid")
        await site.told(end, "with 1002 request_invalid")
        assert (await upstream.message()).payload == b"before"
        assert (await upstream.receive()).code == 1002
        upstream.send(frame(b"\x03\xea", 8, masked=False))
        assert await upstream.rest() == b""
        assert await mallory.cut()


async def test_gw_19_no_request_chooses_the_upstream(site: Site) -> None:
    """Host, path, query, subprotocol, headers and subject name another server; nobody ever comes there."""
    came: list[str] = []

    async def trap(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append("somebody")
        writer.close()

    server = await asyncio.start_server(trap, "127.0.0.1", 0)
    async with server:
        there = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        attempts: list[Answer] = []
        for lines, path in (
            ([f"Host: {there}"], "/played"),
            ([f"X-Forwarded-Host: {there}", f"Forwarded: host={there}"], "/played"),
            ([f"X-Original-URL: http://{there}/", f"X-Rewrite-URL: //{there}/"], "/played"),
            ([f"Origin: http://127.0.0.1:{site.port}", f"Referer: http://{there}/"], "/played"),
            ([f"Sec-WebSocket-Protocol: {there.replace(':', '.')}"], "/played"),
            ([], f"/played?upstream=ws://{there}&url=http://{there}/"),
            ([], f"//{there}/played"),
            ([], f"/public/@{there}/"),
            ([], f"/admin/ws://{there}"),
        ):
            attempts.append(await site.attempt(*lines, site.bearer(f"ws://{there}"), path=path))
        assert {answer.status for answer in attempts} <= {101, 400, 403, 404}
        assert attempts[0].status == 101
        assert len(site.played.heads) == sum(answer.status == 101 for answer in attempts)
    assert came == []
