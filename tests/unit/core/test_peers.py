"""Who the client is, behind trusted proxies (ATTACKS GW-06, GW-07)."""

from ipaddress import ip_network

import pytest

from wsauth.core.fields import Field
from wsauth.core.peers import Client, Peers
from wsauth.errors import Refused

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))
HTTPS = "X-Forwarded-Proto: https"


def fields(*lines: str) -> list[Field]:
    """Return these lines as headers."""
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in (line.split(": ", 1) for line in lines)]


def client(*lines: str, peer: str = "10.0.0.1", only: bool = True, path: str = "/ws") -> Client:
    """Return whom a request with these headers is from."""
    return Peers(TRUSTED, only=only).client(fields(*lines), peer, path)


def code(*lines: str, peer: str = "10.0.0.1", only: bool = True, path: str = "/ws") -> str:
    """Return the code with which a request is refused."""
    with pytest.raises(Refused) as refused:
        client(*lines, peer=peer, only=only, path=path)
    assert refused.value.reason
    return refused.value.code


def test_without_proxies_the_peer_is_the_client() -> None:
    """What it says of itself is not believed (GW-06, GW-07)."""
    lying = fields("X-Forwarded-For: 6.6.6.6", HTTPS, "Forwarded: for=6.6.6.6;proto=https")
    assert Peers((), only=False).client(lying, "192.0.2.1", "/") == Client("192.0.2.1", way="192.0.2.1")
    assert client("X-Forwarded-For: 6.6.6.6", HTTPS, peer="192.0.2.1", only=False) == Client(
        "192.0.2.1", secure=False, proxied=False, way="192.0.2.1"
    )


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "2001:db8:2::1", "", "unknown", "10.0.0"])
def test_where_only_proxies_may_come_nobody_else_does(peer: str) -> None:
    """A stranger is told so, whatever it says."""
    assert code("X-Forwarded-For: 10.0.0.1", HTTPS, peer=peer) == "address_blocked"


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8:1::7", "2001:db8:1::7%eth0"])
def test_a_proxy_is_known_in_every_spelling(peer: str) -> None:
    """IPv4 within IPv6, and with the zone that the kernel adds."""
    assert client("X-Forwarded-For: 203.0.113.9", HTTPS, peer=peer) == Client(
        "203.0.113.9", secure=True, proxied=True, way=f"203.0.113.9, {peer}"
    )


@pytest.mark.parametrize(
    ("lines", "address", "way"),
    [
        (("X-Forwarded-For: 203.0.113.9",), "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        (
            ("X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1, 10.2.2.2",),
            "203.0.113.9",
            "203.0.113.9, 10.1.1.1, 10.2.2.2, 10.0.0.1",
        ),
        (("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9"), "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        (("X-Forwarded-For: 10.3.3.3, 10.2.2.2",), "10.3.3.3", "10.3.3.3, 10.2.2.2, 10.0.0.1"),
        (("X-Forwarded-For: [2001:DB8:0::9]:443",), "2001:db8::9", "2001:db8::9, 10.0.0.1"),
        (("X-Forwarded-For: 203.0.113.9:5000",), "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        (("X-Forwarded-For: ::ffff:203.0.113.9",), "203.0.113.9", "203.0.113.9, 10.0.0.1"),
        (("X-Forwarded-For: 203.0.113.9, unknown",), "10.0.0.1", "10.0.0.1"),
        (("X-Forwarded-For: 203.0.113.9, junk, 10.2.2.2",), "10.0.0.1", "10.0.0.1"),
        (("X-Forwarded-For: 203.0.113.9, fe80::1%x\x1b[31m",), "10.0.0.1", "10.0.0.1"),
        (("X-Forwarded-For: 203.0.113.9, [2001:db8::9]:" + "1" * 9_000,), "10.0.0.1", "10.0.0.1"),
        ((), "10.0.0.1", "10.0.0.1"),
    ],
)
def test_the_client_is_the_rightmost_hop_that_is_no_proxy(lines: tuple[str, ...], address: str, way: str) -> None:
    """What stands left of it, the client wrote, and reaches nobody; where nobody can be told, it is the proxy."""
    found = client(HTTPS, *lines)
    assert (found.address, found.way) == (address, way)
    assert found.proxied


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=203.0.113.9;proto=https", "203.0.113.9"),
        ('For="[2001:db8::9]:4711" ; Proto=HTTPS;by=10.0.0.1', "2001:db8::9"),
        ("for=6.6.6.6;proto=http, for=203.0.113.9;proto=https, for=10.1.1.1;proto=http", "203.0.113.9"),
        ("for=_hidden;proto=wss", "10.0.0.1"),
    ],
)
def test_forwarded_tells_the_same(value: str, address: str) -> None:
    """Address and scheme are of one element (RFC 7239 section 4)."""
    found = client(f"Forwarded: {value}")
    assert (found.address, found.secure) == (address, True)


@pytest.mark.parametrize(
    "lines",
    [
        ("X-Forwarded-Proto: http",),
        ("X-Forwarded-Proto: https, http",),
        ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
        ("X-Forwarded-Proto: https\xa0x",),
        ("Forwarded: for=203.0.113.9;proto=http",),
        ("X-Forwarded-For: 203.0.113.9",),
        ("Forwarded: for=203.0.113.9",),
        ("X-Forwarded-For: 203.0.113.9", HTTPS, "Forwarded: for=6.6.6.6;proto=https"),
        ("X-Forwarded-For: 203.0.113.9", HTTPS, "Forwarded: for=203.0.113.9;proto=http"),
        (),
    ],
)
def test_plain_http_silence_and_contradictions_are_refused(lines: tuple[str, ...]) -> None:
    """Also where two headers name two clients: one of them Mallory wrote."""
    assert code(*lines) == "request_invalid"


def test_both_kinds_of_header_may_agree() -> None:
    """A proxy that writes both is believed."""
    found = client("X-Forwarded-For: 203.0.113.9", HTTPS, "Forwarded: for=203.0.113.9:80;proto=https")
    assert (found.address, found.secure) == ("203.0.113.9", True)


def test_a_balancer_may_ask_for_health_by_itself() -> None:
    """`/healthz` needs no forwarded scheme, but still no plain http, and no stranger."""
    for path in ("/healthz", "/readyz"):
        assert client(path=path) == Client("10.0.0.1", proxied=True, way="10.0.0.1")
    assert code("X-Forwarded-Proto: http", path="/healthz") == "request_invalid"
    assert code(path="/healthz/x") == "request_invalid"
    assert code(path="/healthz", peer="192.0.2.1") == "address_blocked"


def test_beside_our_own_tls_a_proxy_need_not_speak() -> None:
    """Where others may come too it may forward nothing, but not say that the client came in plain text."""
    assert client(only=False) == Client("10.0.0.1", proxied=True, way="10.0.0.1")
    assert code("X-Forwarded-Proto: http", only=False) == "request_invalid"


def test_an_answer_is_not_remembered_for_another_list() -> None:
    """Each list of proxies is asked by itself."""
    assert not Peers((), only=False).client([], "10.0.0.1", "/").proxied
    assert Peers(TRUSTED, only=False).client([], "10.0.0.1", "/").proxied
