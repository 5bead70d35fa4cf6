"""`GET /auth/verify` at a real server: what a proxy is told about a request, whatever its client wrote as the path."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import bearer, eventually, is_ready, people, said
from wsauth.serve.proxies import Proxies
from wsauth.server.application import ControlPlane
from wsauth.settings import load

VIP: Final = """
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
BEHIND: Final = '[server]\ntrusted_proxies = ["127.0.0.1"]\n' + VIP
PATHS: Final = ("X-Original-URI", "X-Forwarded-Uri")
"""The headers that name the path: of nginx, and of Traefik and Caddy."""


@dataclass
class Asking:
    """Be the proxy in front of a server that Alice, who is a vip, and Bob, a member, log in to.

    Attributes:
        serving: the server.
        tokens: their access tokens.
        sessions: the ids of their logins.
    """

    serving: Serving
    tokens: Mapping[str, str]
    sessions: Mapping[str, str]

    async def ask(self, name: str = "", *headers: tuple[str, str]) -> httpx2.Response:
        """Ask about a request of this person (or of nobody) with these headers."""
        every = [*bearer(self.tokens[name]).items(), *headers] if name else headers
        sent = [(each.encode(), value.encode("latin-1")) for each, value in every]
        async with httpx2.AsyncClient(base_url=self.serving.http, trust_env=False) as client:
            return await client.get("/auth/verify", headers=sent)

    async def status(self, name: str = "", path: str = "", header: str = PATHS[0]) -> int:
        """Return the status for a request to this path; without one the proxy does not say."""
        return (await self.ask(name, *([(header, path)] if path else []))).status_code


async def _asking(folder: Path, config: str) -> AsyncGenerator[Asking]:
    async with serving(folder, config=config) as server:
        password = await people(server, ["bob"], roles=["member"])
        logins = {"bob": await server.login("bob", password)}
        password = await people(server, ["alice"], roles=["vip", "member"])
        logins["alice"] = await server.login("alice", password)
        tokens = {name: str(login["access_token"]) for name, login in logins.items()}
        yield Asking(server, tokens, {name: str(login["session_id"]) for name, login in logins.items()})
        assert "Traceback" not in server.output()


@pytest.fixture(scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Asking]:
    """Run a server that a proxy on the same machine asks."""
    async for asking in _asking(tmp_path_factory.mktemp("loopback"), VIP):
        yield asking


@pytest.fixture(scope="module")
async def trusted(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Asking]:
    """Run a server that believes its proxy about clients."""
    async for asking in _asking(tmp_path_factory.mktemp("trusted"), BEHIND):
        yield asking


# The route.


@pytest.mark.parametrize("header", PATHS)
async def test_the_path_decides_what_is_required(proxy: Asking, header: str) -> None:
    """Below /vip/ Alice passes, Bob is 403 and nobody 401; the query says nothing about the route."""
    for path in ("/vip/x", "/vip/x?next=/anon", "/vip/a%20b", "/vip/"):
        assert await proxy.status("alice", path, header) == 204
        answer = await proxy.ask("bob", (header, path))
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        assert not [name for name in answer.headers if name.startswith("x-wsauth-")]
        assert await proxy.status("", path, header) == 401


@pytest.mark.parametrize("header", PATHS)
@pytest.mark.parametrize(
    "path",
    [
        "//vip/x",
        "/%76ip/x",
        "/vi%70/x",
        "/a/../vip/x",
        "/a/%2e%2e/vip/x",
        "/a/%2E./vip/x",
        "/./vip/x",
        "/a/..",
        "/vip/.",
        "/a//b",
        "/a%2f..%2fvip/x",
        "/a%5c..%5cvip/x",
        "/a\\..\\vip\\x",
        "/vip/x#fragment",
        "/vip/%",
        "/vip/%zz",
        "/vip/\x80",
        "vip/x",
        "http://[",
        "http://127.0.0.1/vip/x",
        "//127.0.0.1/vip/x",
        "/vip /x",
    ],
)
async def test_a_path_in_no_normal_form_passes_for_nobody(proxy: Asking, path: str, header: str) -> None:
    """What an upstream may read as another path than we do is 400 for Alice and Bob alike, and says why in the log."""
    for name in ("alice", "bob", ""):
        answer = await proxy.ask(name, (header, path))
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "request_invalid")
        assert path not in answer.text
        assert "normal form" in await said(proxy.serving, f"id={problem['id']}")


@pytest.mark.parametrize("path", ["/ws", "/a/b/", "/a.b/..c/d..", "/a%20b%C3%A4", "/a:b@c;d=e,f!$&'()*+-._~", "/"])
async def test_a_normal_path_is_taken_as_it_is(proxy: Asking, path: str) -> None:
    """Nothing that RFC 3986 allows in a path is refused for its own sake."""
    assert await proxy.status("bob", path) == 204


async def test_headers_that_differ_pass_for_nobody(proxy: Asking) -> None:
    """One header the proxy wrote and one its client: 400 if they name different paths, in any order and number."""
    vip, ws = "/vip/x", "/ws"
    for first, second in ((ws, vip), (vip, ws)):
        for names in (PATHS, PATHS[::-1], (PATHS[0],) * 2, (PATHS[1],) * 2):
            answer = await proxy.ask("alice", (names[0], first), (names[1], second))
            assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    assert (await proxy.ask("bob", *((name, vip) for name in PATHS))).status_code == 403
    assert (await proxy.ask("alice", *((name, vip) for name in PATHS))).status_code == 204


@pytest.mark.parametrize("path", ["", "/nowhere", "/vip", "/wsx"])
async def test_without_a_route_credentials_are_enough(proxy: Asking, path: str) -> None:
    """Where the proxy names no path, or one that is no route's, Bob passes and nobody does not."""
    assert await proxy.status("bob", path) == 204
    answer = await proxy.ask("", *([(PATHS[0], path)] if path else []))
    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


# Who it is.


async def test_the_headers_say_exactly_who_it_is(proxy: Asking) -> None:
    """204 has the headers of CONTRACT section 8 and no more of them, no assertion, no body, and is kept nowhere."""
    answer = await proxy.ask("alice", (PATHS[0], "/vip/x"), ("X-Wsauth-Subject", "mallory"), ("X-Wsauth-Odd", "1"))
    found = {name: value for name, value in answer.headers.items() if name.startswith("x-wsauth-")}
    assert found == {
        "x-wsauth-issuer": "wsauth",
        "x-wsauth-subject": "alice",
        "x-wsauth-session": proxy.sessions["alice"],
        "x-wsauth-roles": "vip,member",
        "x-wsauth-permissions": found["x-wsauth-permissions"],
    }
    assert sorted(found["x-wsauth-permissions"].split(",")) == ["chat:*:read", "vip:enter"]
    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (204, b"", "no-store")


async def test_an_anonymous_route_lets_nobody_in_as_nobody(proxy: Asking) -> None:
    """Without credentials 204 and no subject; with Bob's he is Bob, and with a wrong one 401."""
    answer = await proxy.ask("", (PATHS[0], "/anon"))
    found = {name: value for name, value in answer.headers.items() if name.startswith("x-wsauth-")}
    assert (answer.status_code, found) == (204, {"x-wsauth-roles": "anonymous", "x-wsauth-permissions": ""})
    assert answer.headers["cache-control"] == "no-store"
    assert (await proxy.ask("bob", (PATHS[0], "/anon"))).headers["x-wsauth-subject"] == "bob"
    wrong = await proxy.ask("", (PATHS[0], "/anon"), ("Authorization", "Bearer nonsense"))
    assert (wrong.status_code, wrong.headers["cache-control"]) == (401, "no-store")


# Who asks.


async def test_a_trusted_proxy_asks_for_clients_from_anywhere(trusted: Asking) -> None:
    """The client's address, as the trusted proxy says it, is no reason to refuse; a client in plain text is."""
    client = ("X-Forwarded-For", "203.0.113.9")
    for name, path, status in (("alice", "/vip/x", 204), ("bob", "/vip/x", 403), ("bob", "/ws", 204)):
        answer = await trusted.ask(name, client, ("X-Forwarded-Proto", "https"), (PATHS[0], path))
        assert answer.status_code == status
    plain = await trusted.ask("alice", client, ("X-Forwarded-Proto", "http"))
    assert plain.status_code == 400


@pytest.mark.parametrize("proxies", ["[]", '["10.0.0.0/8"]'])
async def test_nobody_else_may_ask(tmp_path: Path, proxies: str) -> None:
    """From another machine only a trusted proxy may ask, and its own loopback, although others reach the server."""
    file = tmp_path / "wsauth.toml"
    file.write_text(f'[server]\ninsecure_plaintext = true\nhost = "0.0.0.0"\ntrusted_proxies = {proxies}\n{VIP}')
    settings = load(file, {})

    class Here:
        public = "http://wsauth.test:8080"
        admin = ""

    control = ControlPlane(settings, Here())
    await control.start()
    # No other machine is here to ask from: what it reaches is put together as `serve/process.py` does it with TLS.
    app = Proxies(control.public, settings.server.proxies, only=False)
    try:
        _, key = await control.plane.local.users.add_service("robot")
        for peer, status in (("203.0.113.9", 403), ("10.0.0.1", 204 if "10." in proxies else 403), ("127.0.0.1", 204)):
            transport = httpx2.ASGITransport(app=app, client=(peer, 50_000))
            async with httpx2.AsyncClient(transport=transport, base_url=Here.public, headers=bearer(key)) as client:
                forged = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
                for headers in ({}, forged):
                    assert (await client.get("/auth/verify", headers=headers)).status_code == status, peer
    finally:
        await control.aclose()


# What a proxy asks by itself.


async def test_a_proxy_asks_for_health_by_head(proxy: Asking) -> None:
    """HEAD is answered as GET is, without a body."""
    await eventually(lambda: is_ready(proxy.serving))
    async with httpx2.AsyncClient(base_url=proxy.serving.http, trust_env=False) as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")


async def test_the_page_for_this_machine_is_not_shown_through_a_proxy(proxy: Asking, trusted: Asking) -> None:
    """`GET /` tells where the store is to whoever sits here, and nothing to whoever comes by a proxy."""
    for asking, status in ((proxy, 200), (trusted, 404)):
        async with httpx2.AsyncClient(base_url=asking.serving.http, trust_env=False) as client:
            answer = await client.get("/")
        assert (answer.status_code, "wsauth.db" in answer.text) == (status, status == 200)
