"""The files of deploy/proxies, with the real nginx, Caddy and HAProxy in front of the real `wsauth serve` (GW-25)."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import pytest
import websockets

from tests.attacks.wire import Wire, frame, request, wire
from tests.end_to_end.proxied import CLIENT, NAME, Site, behind, head
from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import bearer, people, port_of, said

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more loopback addresses than 127.0.0.1")

PROXIES: Final = ("nginx", "caddy", "haproxy")
ORIGIN: Final = f"https://{NAME}"
CONFIG: Final = f"""
[server]
host = "0.0.0.0"
public_url = "{ORIGIN}"
trusted_proxies = ["127.0.0.1"]

[roles]
member = ["chat:*:read"]
vip = ["vip:enter", "chat:*:read"]

[[routes]]
path = "/vip/*"
upstream = "echo"
require = ["vip:enter"]

[[routes]]
path = "/anon"
upstream = "echo"
anonymous = true

[[routes]]
path = "/ws"
upstream = "echo"
"""
SPOOFS: Final = (
    "X-Wsauth-Subject: mallory",
    "x-wsauth-roles: mallory",
    "X-WSAUTH-TRUNCATED: mallory",
    "X-Wsauth-Assertion: mallory",
    "X_Wsauth_Subject: mallory",
    "X-Wsauth_Subject: mallory",
    "X.Wsauth.Subject: mallory",
    "X-Forwarded-For: 203.0.113.66",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: mallory.example",
    "X-Forwarded-Uri: /mallory",
    "X-Original-URI: /mallory",
    "X_Original_URI: /mallory",
    "X_Forwarded_For: 203.0.113.66",
    "Forwarded: for=203.0.113.66;proto=http",
)


@dataclass(frozen=True)
class Cast:
    """Hold the server, and Alice, who is a vip, and Bob, who is a member.

    Attributes:
        server: wsauth; it trusts 127.0.0.1.
        password: of both.
        tokens: their access tokens.
    """

    server: Serving
    password: str
    tokens: Mapping[str, str]

    def line(self, name: str) -> str:
        """Return the header that presents a token."""
        return f"Authorization: Bearer {self.tokens[name]}"


@pytest.fixture(scope="module")
async def cast(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Cast]:
    """Run wsauth for all proxies."""
    async with serving(tmp_path_factory.mktemp("wsauth"), config=CONFIG) as server:
        password = await people(server, ["alice"], roles=["vip", "member"])
        tokens = {}
        by_proxy = {"Host": NAME, "X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port_of(server.http)}", headers=by_proxy) as client:
            for name, word in (("alice", password), ("bob", await people(server, ["bob"], roles=["member"]))):
                answer = await client.post("/auth/login", json={"username": name, "password": word})
                tokens[name] = secret(answer.json()["access_token"], f"the token of {name}")
        yield Cast(server, password, tokens)
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module", params=PROXIES)
async def site(
    request: pytest.FixtureRequest, cast: Cast, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Site]:
    """Run each proxy with the file as it is shipped."""
    executable: Path = request.getfixturevalue(request.param)
    async with behind(
        request.param, executable, tmp_path_factory.mktemp(request.param), port_of(cast.server.http)
    ) as it:
        yield it


Other = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Site]]


@pytest.fixture
def other(request: pytest.FixtureRequest, cast: Cast, tmp_path: Path) -> Other:
    """Run a proxy with a file that is changed."""

    def run(proxy: str, changes: Mapping[str, str]) -> AbstractAsyncContextManager[Site]:
        return behind(proxy, request.getfixturevalue(proxy), tmp_path, port_of(cast.server.http), changes)

    return run


# WebSockets.


async def test_a_page_signs_in_and_opens_a_socket_with_its_cookie(site: Site, cast: Cast) -> None:
    """Over https the cookie is bound to the host, opens a WebSocket from our page, and none from Mallory's."""
    login = {"username": "alice", "password": cast.password, "cookie": True}
    answer, said_ = await site.call("POST /auth/login", login, f"Origin: {ORIGIN}")
    secret(said_["csrf_token"], "a csrf_token")
    assert answer.status == 200
    cookie = answer.header("set-cookie").partition(";")[0]
    assert cookie.startswith("__Host-wsauth=")
    secret(cookie.partition("=")[2], "a cookie")
    async with site.websocket({"Cookie": cookie}, origin=ORIGIN) as socket:
        for text in ("one", "two", "x" * 60_000):
            await socket.send(text)
            assert await socket.recv() == text
    with pytest.raises((websockets.InvalidStatus, websockets.ConnectionClosed)) as refused:
        async with site.websocket({"Cookie": cookie}, origin="https://mallory.example") as socket:
            await socket.recv()
    assert "403" in str(refused.value) or "origin_denied" in str(refused.value)


async def test_a_program_opens_a_socket_with_its_token(site: Site, cast: Cast) -> None:
    """With Bearer it is open; with a token that is none, 401; without the permission, 403."""
    async with site.websocket(bearer(cast.tokens["alice"]), path="/vip/room?a=b") as socket:
        await socket.send("hi")
        assert await socket.recv() == "hi"
    for token, path, status in (("nonsense", "/ws", 401), (cast.tokens["bob"], "/vip/room", 403)):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with site.websocket(bearer(token), path=path):
                pass
        assert refused.value.response.status_code == status


async def test_wsauth_knows_the_real_client(site: Site, cast: Cast) -> None:
    """A refusal's line in the log has the client's address, whatever address it wrote into its headers itself."""
    for what in ("GET /auth/me", "GET /ws"):
        lines = request("", *SPOOFS, "Authorization: Bearer nonsense", without=["Host"]).decode().split("\r\n")[1:-2]
        answer = await site.ask(what, *(lines if what == "GET /ws" else [*SPOOFS, "Authorization: Bearer nonsense"]))
        assert answer.status == 401
        line = await said(cast.server, f"id={json.loads(answer.body)['id']}")
        assert CLIENT in line
        assert "203.0.113.66" not in line


async def test_the_second_request_of_a_connection_may_be_a_websocket(site: Site, cast: Cast) -> None:
    """Where the proxy keeps connections to wsauth, a handshake comes on one that has carried requests."""
    async with site.connection() as client:
        client.send(head("GET /auth/me", cast.line("alice")))
        assert (await client.answer()).status == 200
        client.send(request("/ws", cast.line("alice"), f"Host: {NAME}"))
        assert (await client.answer()).status == 101
        client.send(frame("hi"))
        assert await client.text() == "hi"
    both = [sent for sent in site.tap.sent if b"GET /auth/me " in sent and b"GET /ws " in sent]
    assert both or site.proxy != "nginx", "two connections, which say nothing about wsauth"


async def test_the_second_request_of_a_connection_may_be_a_websocket_without_a_proxy(cast: Cast) -> None:
    """The same, whatever a proxy does: request, handshake and messages on one connection to wsauth."""
    proxied = ("X-Forwarded-Proto: https", f"Host: {NAME}", cast.line("alice"))
    async with wire(port_of(cast.server.http)) as proxy:
        for what in ("GET /auth/me", "GET /healthz"):
            proxy.send(head(what, *proxied[::2]))
            assert (await proxy.answer()).status == 200
        proxy.send(request("/ws", *proxied))
        assert (await proxy.answer()).status == 101
        proxy.send(frame("hi"))
        assert await proxy.text() == "hi"


IMPATIENT: Final = {
    "nginx": {r"proxy_http_version 1\.1;": "proxy_http_version 1.1; proxy_read_timeout 1s; proxy_send_timeout 1s;"},
    "haproxy": {"client 1m": "client 1s", "server 1m": "server 1s"},
}
"""Shorter timeouts for what is no WebSocket; Caddy has none."""


@pytest.mark.parametrize("proxy", IMPATIENT)
async def test_a_quiet_socket_lives_longer_than_a_quiet_request(other: Other, cast: Cast, proxy: str) -> None:
    """Timeouts of the proxy that end a request do not end a WebSocket on which nobody speaks."""
    async with other(proxy, IMPATIENT[proxy]) as site, site.websocket(bearer(cast.tokens["bob"])) as socket:
        await asyncio.sleep(2.5)  # real time, since it is the proxy's clock
        await socket.send("still here")
        assert await socket.recv() == "still here"


# Who may come, and how.


async def test_plain_http_carries_no_secret(site: Site, cast: Cast) -> None:
    """On port 80 pages are sent to https; sign-in and handshakes are refused, and wsauth sees none of it."""
    before = len(site.tap.sent)
    page = await site.ask("GET /page?a=b", plain=True)
    assert (page.status, page.header("location")) == (301, f"{ORIGIN}/page?a=b")
    assert (await site.ask("POST /auth/login", body=b"{}", plain=True)).status == 403
    for path in ("/ws", "/", "/vip/room"):
        async with site.connection(plain=True) as client:
            client.send(request(path, cast.line("alice"), f"Host: {NAME}"))
            assert (await client.answer()).status == 403
    assert (len(site.tap.sent), site.application.seen) == (before, [])


async def test_who_is_no_proxy_is_refused(cast: Cast) -> None:
    """From another address wsauth takes nothing, whatever the headers say."""
    for sent in (head("GET /auth/verify"), head("GET /healthz"), request("/ws", f"Host: {NAME}")):
        lines = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\n" + cast.line("alice").encode()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port_of(cast.server.http), local_addr=("127.0.0.9", 0)
        )
        writer.write(sent[:-2] + lines + b"\r\n\r\n")
        answer = await Wire(reader, writer).answer()
        writer.transport.abort()
        assert (answer.status, answer.code) == (403, "address_blocked")


async def test_nobody_asks_verify_through_the_proxy(site: Site, cast: Cast) -> None:
    """`/auth/verify` and what the proxy asks it by are not there from outside, in any spelling."""
    for path in ("/auth/verify", "/auth/%76erify", "/auth/verify?x", "/_wsauth/verify", "/auth/./verify"):
        answer = await site.ask(f"GET {path}", cast.line("alice"))
        assert answer.status in (400, 404, 500) or b"application" in answer.body
        assert not [name for name, _ in answer.headers if name.startswith("x-wsauth-")]


# The application's HTTP.


async def test_verify_guards_the_application(site: Site, cast: Cast) -> None:
    """Nobody is 401 and Bob 403, and the application sees neither; Alice passes, and is introduced."""
    site.application.seen.clear()
    nobody = await site.ask("GET /vip/page")
    assert (nobody.status, nobody.header("www-authenticate")) == (401, "Bearer")
    assert (await site.ask("GET /page", "Authorization: Bearer nonsense")).status == 401
    assert (await site.ask("GET /vip/page", cast.line("bob"))).status == 403
    assert site.application.seen == []
    assert (await site.ask("GET /page", cast.line("bob"))).status == 200
    answer = await site.ask("GET /vip/page?a=b%20c", cast.line("alice"))
    assert (answer.status, json.loads(answer.body)) == (200, {"application": "/vip/page?a=b%20c"})
    bob, alice = (seen.named("wsauth") for seen in site.application.seen)
    assert {name.lower(): value for name, value in bob.items()}["x-wsauth-subject"] == "bob"
    told = {name.lower(): value for name, value in alice.items()}
    assert (told["x-wsauth-issuer"], told["x-wsauth-subject"]) == ("wsauth", "alice")
    assert (told["x-wsauth-roles"], "vip:enter" in told["x-wsauth-permissions"]) == ("vip,member", True)
    assert site.application.seen[-1].named("host")["Host" if site.proxy != "haproxy" else "host"] == NAME


async def test_nobody_on_an_anonymous_route_has_no_subject(site: Site) -> None:
    """What verify does not say, the application is not told, not even as an empty header."""
    site.application.seen.clear()
    assert (await site.ask("GET /anon", "X-Wsauth-Subject: mallory")).status == 200
    told = {name.lower(): value for name, value in site.application.seen[0].named("wsauth").items() if value}
    assert told == {"x-wsauth-roles": "anonymous"}
    assert site.application.seen[0].named("subject") == {}


@pytest.mark.parametrize("spoof", SPOOFS)
async def test_what_clients_say_of_themselves_reaches_nobody(site: Site, cast: Cast, spoof: str) -> None:
    """The application sees what wsauth and the proxy said and nothing else; wsauth sees nothing of it either."""
    site.application.seen.clear()
    already = len(site.tap.heads("GET "))
    name, _, value = spoof.partition(": ")
    for path, who in (("/anon", ()), ("/page", (cast.line("bob"),)), ("/vip/x", (cast.line("alice"),))):
        assert (await site.ask(f"GET {path}", spoof, *who)).status == 200
    assert (await site.ask("GET /vip/x", spoof, cast.line("bob"))).status == 403
    assert (await site.ask("GET /auth/me", spoof, cast.line("bob"))).status == 200
    for seen in site.application.seen:
        assert value not in seen.named(name.lower()[2:5]).values()
        assert "mallory" not in str(seen.headers)
    sent = site.tap.heads("GET ")[already:]
    assert len(sent) == 5
    assert not [each for each in sent if value in each.split() or "mallory" in each]


async def test_clients_take_no_header_away(site: Site, cast: Cast) -> None:
    """`Connection` may name what is for one hop only (RFC 9110 section 7.6.1); it does not take the identity away."""
    site.application.seen.clear()
    hop = "Connection: close, X-Wsauth-Subject, X-Forwarded-For, X-Forwarded-Proto, X-Original-URI, X-Forwarded-Uri"
    assert (await site.ask("GET /vip/x", hop, cast.line("bob"))).status == 403
    assert (await site.ask("GET /vip/x", hop, cast.line("alice"))).status == 200
    assert (await site.ask("GET /auth/me", hop, cast.line("alice"))).status == 200
    told = {name.lower(): value for name, value in site.application.seen[0].headers}
    assert (told["x-wsauth-subject"], told["x-forwarded-for"], told["x-forwarded-proto"]) == ("alice", CLIENT, "https")


@pytest.mark.parametrize(
    "path",
    [
        "/healthz/../vip/x",
        "/anon/../vip/x",
        "/anon/%2e%2e/vip/x",
        "/%76ip/x",
        "//vip/x",
        "/anon/..%2fvip/x",
        "/anon\\..\\vip/x",
        "/auth/../vip/x",
        "/.well-known/../vip/x",
        "/auth/..%2fvip/x",
        "/anon;/../vip/x",
        "/anon?/../vip/x",
    ],
)
async def test_no_other_spelling_of_a_path_passes(site: Site, cast: Cast, path: str) -> None:
    """What may mean /vip/x to somebody does not reach the application for Bob or nobody (GW-09)."""
    site.application.seen.clear()
    for who in ((), (cast.line("bob"),)):
        answer = await site.ask(f"GET {path}", *who)
        assert answer.status != 101
    assert [seen.target for seen in site.application.seen if "?" not in seen.target] == []


async def test_no_websocket_passes_wsauth_by(site: Site, cast: Cast) -> None:
    """An upgrade never reaches the application, on whatever path and to whatever protocol."""
    site.application.seen.clear()
    for path in ("/", "/ws/", "//ws", "/%77s", "/x/../ws", "/healthz/../ws", "/WS"):
        async with site.connection() as client:
            client.send(request(path, cast.line("alice"), f"Host: {NAME}"))
            assert (await client.answer()).status in (400, 403, 404)
    await site.ask("GET /page", "Connection: Upgrade", "Upgrade: h2c", cast.line("alice"))
    assert site.application.seen == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_passes_the_guard_and_does_not_go_to_it(site: Site, cast: Cast, chunked: bool) -> None:
    """A POST reaches the application whole; verify is asked by GET, without a body and without an announced one."""
    site.application.seen.clear()
    already = len(site.tap.heads("GET /auth/verify"))
    body = "x" * 5000
    for _ in range(2):
        async with site.connection() as client:
            if chunked:
                client.send(head("POST /page", cast.line("bob"), "Transfer-Encoding: chunked"))
                client.send(f"1388\r\n{body}\r\n0\r\n\r\n".encode())
            else:
                client.send(head("POST /page", cast.line("bob"), "Content-Length: 5000"), body.encode())
            assert (await client.answer()).status == 200
    assert [(seen.method, seen.body) for seen in site.application.seen] == [("POST", body)] * 2
    asked = site.tap.heads("GET /auth/verify")[already:]
    assert len(asked) == 2
    for each in asked:
        assert "content-length" not in each.lower().replace("content-length: 0", "")
        assert "transfer-encoding" not in each.lower()
        assert f"x-forwarded-for: {CLIENT}\r\n" in f"{each}\r\n".lower()


@pytest.mark.parametrize("proxy", PROXIES)
async def test_without_wsauth_nobody_passes(other: Other, cast: Cast, proxy: str) -> None:
    """When wsauth cannot be asked the answer is an error, and the application sees nothing."""
    async with other(proxy, {}) as site:
        assert (await site.ask("GET /page", cast.line("bob"))).status == 200
        site.tap.close()
        site.application.seen.clear()
        assert (await site.ask("GET /page", cast.line("bob"))).status >= 500
        assert site.application.seen == []


BESIDE: Final = {
    "nginx": r" +auth_request /_wsauth/verify;\n",
    "caddy": r"\t\tforward_auth [^}]*\}\n\t\t\}\n",
    "haproxy": r"global\n.*\n\n| +http-request lua.wsauth-verify .*\n",
}
"""What is deleted where the application's HTTP asks nobody; the page says so."""


@pytest.mark.parametrize("proxy", PROXIES)
async def test_beside_the_application_is_asked_without_wsauth(other: Other, cast: Cast, proxy: str) -> None:
    """Without those lines anybody reaches its HTTP, as nobody; WebSockets and headers are as before."""
    async with other(proxy, {BESIDE[proxy]: ""}) as site:
        for who in ((), (cast.line("bob"),)):
            assert (await site.ask("GET /vip/page", *SPOOFS, *who)).status == 200
        for seen in site.application.seen:
            assert seen.named("wsauth") == {}
            assert "mallory" not in str(seen.headers)
        assert site.tap.sent == []
        async with site.websocket(bearer(cast.tokens["alice"])) as socket:
            await socket.send("hi")
            assert await socket.recv() == "hi"
        assert len(site.application.seen) == 2


async def test_what_traefik_asks_is_answered(cast: Cast) -> None:
    """As its documentation has it: the Host of `forwardAuth.address`, and the client's request in X-Forwarded-*."""
    asked = (
        "X-Forwarded-Method: POST",
        "X-Forwarded-Proto: https",
        f"X-Forwarded-Host: {NAME}",
        "X-Forwarded-Uri: /vip/x?a=b",
        f"X-Forwarded-For: {CLIENT}",
    )
    for name, status in (("alice", 204), ("bob", 403)):
        async with wire(port_of(cast.server.http)) as proxy:
            proxy.send(head("GET /auth/verify", *asked, cast.line(name)).replace(NAME.encode(), b"127.0.0.1:8080", 1))
            assert (await proxy.answer()).status == status
