"""Heads of any bytes, from either side: what is let through can be read in one way only."""

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from wsauth.core.answer import BadAnswer, accept_of, read_answer
from wsauth.core.extensions import NONE, Deflate, Offers, read_offers
from wsauth.core.fields import Field
from wsauth.core.head import offers
from wsauth.core.paths import meanings
from wsauth.core.peers import Client, Peers
from wsauth.core.request import CHUNKED, BadHead, plain, read
from wsauth.errors import Refused

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
TARGET = re.compile(rb'/[!"$-~]*')

ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b""]
STARTS = [
    b"GET /ws HTTP/1.1",
    b"GET /ws?a=b HTTP/1.1",
    b"POST / HTTP/1.0",
    b"GET / HTTP/1.1 ",
    b"GET  / HTTP/1.1",
    b"GET /#a HTTP/1.1",
    b"\r\nGET / HTTP/1.1",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 200",
]
LINES = [
    b"Host: a",
    b"host: b:80",
    b"Upgrade: websocket",
    b"UPGRADE: h2c",
    b"Connection: Upgrade",
    b"Connection: keep-alive, upgrade, Host",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: " + KEY,
    b"Sec-WebSocket-Accept: " + accept_of(KEY),
    b"Sec-WebSocket-Protocol: chat",
    b"Sec-WebSocket-Extensions: permessage-deflate",
    b"Content-Length: 3",
    b"content-length: 0",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Set-Cookie: a=b",
    b"X_Wsauth_Subject: a",
    b"X: \x00",
    b"X",
    b": x",
    b" folded",
]
blanks = st.sampled_from([b"", b" ", b"\t", b" \t "])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Write something that resembles a head."""
    written = draw(st.sampled_from(STARTS) | st.binary(max_size=40))
    line = st.sampled_from(LINES) | st.builds(lambda a, b, c: a + b":" + c + b, st.binary(max_size=8), blanks, blanks)
    for each in draw(st.lists(line | st.binary(max_size=30), max_size=8)):
        written += draw(st.sampled_from(ENDS)) + each
    return written + draw(st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\r\n", b"\n\n", b""]))


@st.composite
def handshakes(draw: st.DrawFn) -> bytes:
    """Write a handshake in which something may be missing, doubled or strange."""
    lines = [LINES[0], LINES[2], LINES[4], LINES[6], LINES[7]]
    if draw(st.booleans()):
        lines.remove(draw(st.sampled_from(lines)))
    lines = draw(
        st.permutations([*lines, *draw(st.lists(st.sampled_from(LINES[8:]) | st.sampled_from(LINES), max_size=2))])
    )
    return b"\r\n".join([draw(st.sampled_from(STARTS[:2])), *lines, b"", b""])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Write an answer in which something may be missing, doubled or strange."""
    good = [line for line in (LINES[2], LINES[4], LINES[8]) if draw(st.integers(0, 9))]
    lines = draw(st.permutations([*good, *draw(st.lists(st.sampled_from(LINES[5:]), max_size=2))]))
    return b"\r\n".join([draw(st.sampled_from([STARTS[7], STARTS[7], STARTS[8]])), *lines, b"", b""])


def outcome(refusal: type[E], call: Callable[..., T], *given: Any) -> T | E:
    """Return what comes out: a value, or the one kind of error that may."""
    try:
        return call(*given)
    except refusal as error:
        return error


@given(st.binary(max_size=200) | heads() | handshakes())
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_a_request_is_refused_or_strict(raw: bytes) -> None:
    """Each part of what is let through has the grammar that its RFC gives it, and the head is as long as its parts."""
    request = outcome(BadHead, read, raw)
    if isinstance(request, BadHead):
        assert request.status in {400, 405, 413, 414, 426, 431}
        assert request.rule.isascii()
        return
    assert raw.endswith(b"\r\n\r\n")
    assert raw.count(b"\r") == raw.count(b"\n") == len(request.headers) + 2
    assert TARGET.fullmatch(request.target)
    assert request.target in (request.path.encode(), request.path.encode() + b"?" + request.query)
    assert all(TOKEN.fullmatch(name) and VALUE.fullmatch(value) for name, value in request.headers)
    names = [name for name, _ in request.headers]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert request.host
    if request.websocket:
        assert (request.method, request.body) == (b"GET", 0)
        for name in (b"upgrade", b"sec-websocket-key", b"sec-websocket-version"):
            assert names.count(name) == 1


class Parsed:
    """Take what httptools reads."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[Field] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        self.complete = True


@given(heads() | handshakes())
def test_the_parser_behind_reads_the_same(raw: bytes) -> None:
    """httptools sees the same target, the same headers and the same kind of request in what it is given."""
    request = outcome(BadHead, read, raw)
    if isinstance(request, BadHead) or request.websocket:
        return
    parsed = Parsed()
    parser = httptools.HttpRequestParser(parsed)
    parser.feed_data(plain(request))
    assert parsed.complete
    assert (parsed.url, parser.get_method()) == (request.target, request.method)
    assert not parser.should_upgrade()
    ours = [field for field in request.headers if field[0] != b"upgrade"]
    assert parsed.headers == ours
    assert (request.body == CHUNKED) is ((b"transfer-encoding", b"chunked") in [(n, v.lower()) for n, v in ours])


@given(
    st.binary(max_size=100) | heads() | answers(),
    st.sampled_from([NONE, read_offers([(b"sec-websocket-extensions", b"permessage-deflate")])]),
)
def test_an_answer_is_refused_or_strict(raw: bytes, offered: Offers) -> None:
    """What is let through is a 101 to our key, and only what was offered was chosen."""
    answer = outcome(BadAnswer, read_answer, raw, accept_of(KEY), ("chat",), offered)
    if isinstance(answer, BadAnswer):
        assert answer.reason.isascii()
        assert answer.status is None or (100 <= answer.status <= 999 and answer.status != 101)
        return
    assert raw.startswith(b"HTTP/1.1 101")
    assert raw.lower().count(b"sec-websocket-accept: " + accept_of(KEY).lower()) == 1
    assert answer.subprotocol in ("", "chat")
    assert answer.extensions == "" or offered is not NONE
    for name, value in answer.headers:
        assert TOKEN.fullmatch(name)
        assert VALUE.fullmatch(value)
        assert not name.replace(b"_", b"-").startswith((b"sec-websocket-", b"x-wsauth-", b"content-"))


PIECES = ["permessage-deflate", "server_max_window_bits", "client_max_window_bits", "server_no_context_takeover"]
pieces = st.sampled_from([*PIECES, ";", "; ", ",", ", ", "=", '"', '="10"', "=8", "=15", "=99", "\\", " ", "x"])
extensions = st.lists(pieces, max_size=20).map("".join)


@given(extensions | st.text(max_size=40))
def test_what_is_offered_is_well_formed(value: str) -> None:
    """Read again, what is passed on is the same; and there are at most four."""
    found = read_offers([(b"sec-websocket-extensions", value.encode("latin-1", "replace"))])
    assert len(found.deflates) <= 4
    assert read_offers([(b"sec-websocket-extensions", found.header)]) == found


bits = st.sampled_from([0, *range(8, 16)])
deflates = st.builds(Deflate, st.booleans(), st.booleans(), bits, bits | st.just(-1))


@given(st.lists(deflates, min_size=1, max_size=4), extensions | deflates.map(str))
def test_an_accepted_answer_fits_an_offer(offered: list[Deflate], value: str) -> None:
    """RFC 7692 sections 7.1.1 and 7.1.2, written down a second time."""
    header = ", ".join(map(str, offered))
    accepted = outcome(ValueError, read_offers([(b"sec-websocket-extensions", header.encode())]).accept, value)
    if isinstance(accepted, ValueError):
        return
    (answer,) = read_offers([(b"sec-websocket-extensions", accepted.encode())]).deflates
    assert any(
        (answer.server_no_context_takeover or not offer.server_no_context_takeover)
        and (not offer.server_max_window_bits or 8 <= answer.server_max_window_bits <= offer.server_max_window_bits)
        and (
            answer.client_max_window_bits == 0
            or 8 <= answer.client_max_window_bits <= (offer.client_max_window_bits % 16 or 0)
        )
        for offer in offered
    )


names = st.text('abZ./ \t,;"\xe4', max_size=12)


@given(st.lists(names | st.sampled_from(["chat", "chat, chess", "wsauth.v1", "wsauth.bearer.t"]), max_size=4))
def test_offers_are_refused_or_tokens(values: list[str]) -> None:
    """Each name is a token, and none of the application's is there twice."""
    found = outcome(Refused, offers, [(b"sec-websocket-protocol", value.encode("latin-1")) for value in values])
    if isinstance(found, Refused):
        assert found.code == "request_invalid"
        return
    assert all(TOKEN.fullmatch(name.lower().encode()) for name in found)
    others = [name for name in found if not name.startswith("wsauth.")]
    assert len(set(others)) == len(others)


@given((st.text(max_size=20) | st.lists(st.sampled_from([*"/.;%\\a", "2e", "2f"])).map("".join)).map("/".__add__))
def test_a_path_has_no_dots_left(path: str) -> None:
    """Whatever a path may mean, no reading of it has a segment of dots, and the last has neither `//` nor `;`."""
    found = outcome(Refused, meanings, path)
    if isinstance(found, Refused):
        assert found.code == "request_invalid"
        return
    for meant in found:
        assert not {".", ".."} & set(meant.split("/"))
    if len(found) > 1:
        assert "//" not in found[-1]
        assert ";" not in found[-1]


addresses = st.sampled_from(["10.0.0.1", "203.0.113.9", "[2001:db8::9]:443", "unknown", "", "fe80::1%a", "1.2.3.4:x"])
hops = st.lists(addresses | st.text(max_size=6), max_size=4).map(", ".join)
FORWARDING = ["x-forwarded-for", "x-forwarded-proto", "forwarded"]
elements = st.builds("for={};proto={}".format, addresses, st.sampled_from(["https", "http", ""]))


@given(
    st.lists(st.tuples(st.sampled_from(FORWARDING), hops | elements | st.sampled_from(["https", "http"])), max_size=4),
    addresses,
    st.booleans(),
)
def test_only_an_address_is_a_client(lines: list[tuple[str, str]], peer: str, only: bool) -> None:
    """Whoever a proxy tells of is an address that begins the way, or the proxy; from others nothing is believed."""
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in lines]
    client = outcome(Refused, Peers([ip_network("10.0.0.0/8")], only=only).client, headers, peer, "/ws")
    if isinstance(client, Refused):
        assert client.code == ("request_invalid" if peer == "10.0.0.1" else "address_blocked")
        return
    assert client.proxied is (peer == "10.0.0.1")
    assert client.way.split(", ")[0] == client.address
    assert client.way.endswith(peer)
    if client.proxied:
        assert all(ip_address(each) for each in client.way.split(", "))
        assert client.secure or not only
    else:
        assert client == Client(peer, way=peer)
        assert not only
