"""Whom a server behind proxies believes."""

from ipaddress import ip_network
from typing import Any

import pytest

from wsauth.integrations.asgi.types import AsgiMessage, Scope
from wsauth.serve.hosts import Hosts
from wsauth.serve.proxies import Proxies

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))


class Seen:
    """Be an application that only remembers what it was called with, and a client that remembers the answer."""

    def __init__(self) -> None:
        self.scope: Scope | None = None
        self.sent: list[AsgiMessage] = []

    async def __call__(self, scope: Scope, *_: Any) -> None:
        """Be called."""
        self.scope = scope

    async def send(self, message: AsgiMessage) -> None:
        """Be answered."""
        self.sent.append(message)

    @property
    def client(self) -> tuple[str, str]:
        """Return the client's address and the scheme."""
        assert self.scope is not None, self.sent
        return self.scope["client"][0], self.scope["scheme"]


async def nothing() -> AsgiMessage:
    """Return what nobody asks for."""
    raise AssertionError


async def through(*headers: str, peer: str = "10.0.0.1", only: bool = True, path: str = "/") -> Seen:
    """Send a request with these headers from this peer."""
    seen = Seen()
    pairs = [(name.lower().encode(), value.encode()) for name, value in (each.split(": ", 1) for each in headers)]
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": pairs, "path": path}
    await Proxies(seen, TRUSTED, only=only)(scope, nothing, seen.send)
    return seen


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        (["X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1, 10.2.2.2"], "203.0.113.9"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        (["X-Forwarded-For: 10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        (["X-Forwarded-For: [2001:db8::9]:443"], "2001:db8::9"),
        (["X-Forwarded-For: 203.0.113.9:5000"], "203.0.113.9"),
        (["X-Forwarded-For: ::ffff:203.0.113.9"], "203.0.113.9"),
        (["X-Forwarded-For: 203.0.113.9, unknown"], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
async def test_the_client_is_the_rightmost_hop_that_is_no_proxy(headers: list[str], address: str) -> None:
    """What stands left of it, the client wrote itself; where nobody can be told, it is the proxy."""
    assert (await through("X-Forwarded-Proto: https", *headers)).client == (address, "https")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("for=203.0.113.9;proto=https", "203.0.113.9"),
        ('For="[2001:db8::9]:4711" ; Proto=HTTPS;by=10.0.0.1', "2001:db8::9"),
        ("for=6.6.6.6;proto=http, for=203.0.113.9;proto=https, for=10.1.1.1;proto=http", "203.0.113.9"),
        ("for=_hidden;proto=https", "10.0.0.1"),
    ],
)
async def test_forwarded_tells_the_same(header: str, address: str) -> None:
    """Address and scheme are of one element (RFC 7239 section 4)."""
    assert (await through(f"Forwarded: {header}")).client == (address, "https")


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Forwarded-Proto: http"],
        ["X-Forwarded-Proto: https, http"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"],
        ["Forwarded: for=203.0.113.9;proto=http"],
        ["X-Forwarded-For: 203.0.113.9"],
        ["Forwarded: for=203.0.113.9"],
        ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6;proto=https"],
        [],
    ],
)
async def test_plain_http_and_contradictions_are_refused(headers: list[str]) -> None:
    """Also where the proxy says nothing, or two headers name two clients: one of them Mallory wrote."""
    seen = await through(*headers)
    assert (seen.scope, seen.sent[0]["status"]) == (None, 400)


async def test_what_is_behind_knows_whether_a_proxy_asks() -> None:
    """`/auth/verify` answers only such; and where the client is the peer, its port stays."""
    proxied = await through("X-Forwarded-Proto: https")
    stranger = await through(peer="192.0.2.1", only=False)
    assert proxied.scope is not None
    assert stranger.scope is not None
    assert (proxied.scope["wsauth.proxied"], proxied.scope["client"]) == (True, ("10.0.0.1", 1))
    assert "wsauth.proxied" not in stranger.scope


async def test_both_kinds_of_header_may_agree() -> None:
    """A proxy that writes both is believed."""
    headers = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "Forwarded: for=203.0.113.9:80;proto=https"]
    assert (await through(*headers)).client == ("203.0.113.9", "https")


async def test_a_balancer_may_ask_for_health_by_itself() -> None:
    """`/healthz` needs no forwarded scheme, but still comes from a proxy and not over plain http."""
    assert (await through(path="/healthz")).client == ("10.0.0.1", "http")
    assert (await through("X-Forwarded-Proto: http", path="/healthz")).scope is None
    assert (await through(path="/healthz", peer="192.0.2.1")).sent[0]["status"] == 403


async def test_others_come_in_only_where_nobody_can_listen() -> None:
    """With TLS of ours or on loopback a stranger is a stranger, and what it says of itself is not believed."""
    lines = "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"
    assert (await through(*lines, peer="192.0.2.1")).sent[0]["status"] == 403
    assert (await through(*lines, peer="192.0.2.1", only=False)).client == ("192.0.2.1", "http")
    assert (await through(only=False)).client == ("10.0.0.1", "http")
    assert (await through("X-Forwarded-Proto: http", only=False)).sent[0]["status"] == 400


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("Chat.Example", True),
        ("chat.example:8443", True),
        ("[::1]:1", True),
        ("example", False),
        ("chat.example.", False),
    ],
)
async def test_only_our_own_names_are_answered(host: str, passes: bool) -> None:
    """Another Host gets 421 (RFC 9110 section 15.5.20)."""
    seen = Seen()
    scope = {"type": "http", "client": ("192.0.2.1", 1), "headers": [(b"host", host.encode())], "path": "/"}
    await Hosts(seen, {"chat.example", "::1"}, "server.allowed_hosts")(scope, nothing, seen.send)
    if passes:
        assert seen.scope is scope
    else:
        assert [message["type"] for message in seen.sent] == ["http.response.start", "http.response.body"]
        assert seen.sent[0]["status"] == 421
