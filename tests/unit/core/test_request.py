"""The strict rules for a request's head."""

import pytest

from wsauth.core.request import CHUNKED, END, BadHead, Request, host_name, plain, read

HANDSHAKE = (
    "Host: localhost",
    "Connection: keep-alive",
    "Connection: x, Upgrade",
    "UPGRADE: WebSocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


def head(*lines: str, start: str = "GET / HTTP/1.1") -> Request:
    """Read a head of these lines."""
    return read("\r\n".join([start, *lines]).encode("latin-1") + END)


def status(*lines: str, start: str = "GET / HTTP/1.1") -> int:
    """Return the status with which it is refused."""
    with pytest.raises(BadHead) as refused:
        head(*lines, start=start)
    assert refused.value.rule
    return refused.value.status


def test_a_plain_request_passes_as_it_is() -> None:
    """Bytes over 127 in a value, an empty value and white space around it are allowed (RFC 9110 section 5.5)."""
    found = head("Host: localhost:8080", "X-Name: \xe4", "X-Empty:", "X-Tab:\ta \t")
    assert (found.websocket, found.body) == (False, 0)
    assert plain(found) == b"GET / HTTP/1.1\r\nhost: localhost:8080\r\nx-name: \xe4\r\nx-empty: \r\nx-tab: a\r\n\r\n"


def test_a_request_is_taken_apart_as_it_was_sent() -> None:
    """Path and query are not decoded, names are in lower case, values in order and without white space around them."""
    found = head("HOST: A.example:80", "x-one:  1 ", "X-Own: b:c", "X-One: 2", start="PUT /%61/../b?x=%20?y HTTP/1.0")
    assert (found.start, found.method) == (b"PUT /%61/../b?x=%20?y HTTP/1.0", b"PUT")
    assert (found.target, found.path, found.query) == (b"/%61/../b?x=%20?y", "/%61/../b", b"x=%20?y")
    assert found.headers == [(b"host", b"A.example:80"), (b"x-one", b"1"), (b"x-own", b"b:c"), (b"x-one", b"2")]
    assert found.host == "a.example"


@pytest.mark.parametrize("name", ["Sec-WebSocket-Key", "sec-websocket-key", "Sec-Websocket-Key", "SEC-WebSocket-KEY"])
def test_a_name_has_no_case(name: str) -> None:
    """Whether a spelling is in the table of usual ones makes no difference."""
    found = head(*(line.replace("Sec-WebSocket-Key", name) for line in HANDSHAKE))
    assert (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==") in found.headers


def test_a_handshake_is_known_in_every_spelling() -> None:
    """The options of Connection may stand in several lines, and have no case (RFC 9110 section 7.6.1)."""
    assert head(*HANDSHAKE).websocket
    assert head(*(line.replace("x, Upgrade", "upgrade") for line in HANDSHAKE)).websocket
    assert head(*(line.replace("x, Upgrade", "x\t,UPGRADE ,") for line in HANDSHAKE)).websocket


@pytest.mark.parametrize(
    "lines",
    [
        ("Upgrade: h2c", "Connection: Upgrade"),
        ("Upgrade: websocket",),
        ("Upgrade: websocket", "Connection: keep-alive"),
        ("Upgrade: websocket", "Upgrade: websocket", "Connection: Upgrade"),
        ("Upgrade: h2c", "Upgrade: websocket", "Connection: Upgrade"),
        ("Upgrade: h2c, websocket", "Connection: Upgrade"),
    ],
)
def test_another_upgrade_is_taken_out(lines: tuple[str, ...]) -> None:
    """A server may ignore what it does not speak (RFC 9110 section 7.8); the parser then sees none."""
    found = head("Host: localhost", *lines)
    assert not found.websocket
    assert b"upgrade:" not in plain(found)


def test_the_length_of_the_body_is_known_or_chunked() -> None:
    """Content-Length up to the limit, or Transfer-Encoding: chunked."""
    assert head("Host: a", "Content-Length: 65536").body == 65536
    assert head("Host: a", "Transfer-Encoding: Chunked").body == CHUNKED
    assert status("Host: a", "Content-Length: 65537") == 413
    assert status("Host: a", "Transfer-Encoding: chunked", start="POST / HTTP/1.0") == 400


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: +3",),
        ("Content-Length: 3, 3",),
        ("Content-Length: 3", "Content-Length: 3"),
        ("Content-Length: 0x3",),
        ("Content-Length:",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("X-A: \x00",),
        ("X-A: \n",),
        ("X-A: \r",),
        ("X-A: \x7f",),
        ("X A: 1",),
        ("X-A : 1",),
        (" X-A: 1",),
        (": 1",),
        ("X-A",),
        ("Cookie",),
        ("Cookie : 1",),
        ("X-A: 1\r\n folded",),
        ("X-A: 1\r\n\tfolded",),
        ("X-A: 1\n\rX-B: 2",),
        ("X-A: 1\rX-B: 2\n",),
        ("X-\xc4: 1",),
        ("X-A: \x0b1",),
        ("X-A: 1\x0c",),
        ("",),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(lines: tuple[str, ...]) -> None:
    """Lengths that are no plain number, two framings, and lines that are not NAME: VALUE get 400."""
    assert status("Host: localhost", *lines) == 400


@pytest.mark.parametrize(
    "start",
    [
        "GET /",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET  / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /\xff HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / HTTP/1.2",
        "G\xcbT / HTTP/1.1",
        " / HTTP/1.1",
        "GET/POST / HTTP/1.1",
        f"{'A' * 33} / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET http://localhost/ HTTP/1.1",
        "CONNECT localhost:80 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "",
    ],
)
def test_a_request_line_is_method_path_and_version(start: str) -> None:
    """The target is an absolute path of visible ASCII, as sent."""
    assert status("Host: localhost", start=start) == 400


@pytest.mark.parametrize("value", ["", "a/b", "a#b", "a\tb", "user@a", "a:b", "a:123456", "[::1", "::1", "a, b"])
def test_a_host_is_a_name_and_perhaps_a_port(value: str) -> None:
    """A path, a user, white space or a list in it get 400 (HS-17)."""
    assert status(f"Host: {value}") == 400
    assert host_name(value.encode()) is None


def test_the_name_of_a_host_has_neither_case_nor_port() -> None:
    """What is compared with our names is the bare name."""
    assert [host_name(each) for each in (b"LocalHost:80", b"[::1]:8080", b"127.0.0.1")] == [
        "localhost",
        "::1",
        "127.0.0.1",
    ]


def test_one_host_is_needed() -> None:
    """None and two get 400, also with HTTP/1.0."""
    assert status() == status("Host: a", "host: a") == status(start="GET / HTTP/1.0") == 400


@pytest.mark.parametrize(
    "raw", [b"", b"\r\n", END, b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a" + END + b"x"]
)
def test_a_head_ends_with_an_empty_line(raw: bytes) -> None:
    """What is no whole head, or more than one, is refused and not guessed at."""
    with pytest.raises(BadHead) as refused:
        read(raw)
    assert refused.value.status == 400


def test_nothing_of_a_bad_head_stands_in_the_rule() -> None:
    """The rule goes to the log, and what came may hold a secret or forge a line."""
    with pytest.raises(BadHead) as refused:
        head("Host: a", "Bad Name secret: 1")
    assert "secret" not in refused.value.rule


def test_what_is_too_long_says_so() -> None:
    """A target over 8000 bytes gets 414, more than 100 lines 431, and 8 KiB in one line of a handshake too."""
    long = "X: " + "x" * 8_200
    assert status("Host: a", start=f"GET /{'x' * 8_000} HTTP/1.1") == 414
    assert status("Host: a", *["X: 1"] * 100) == 431
    assert status(*HANDSHAKE, long) == 431
    assert head("Host: a", long).body == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 426),
        (("Sec-WebSocket-Version: 13", "X: 1"), 426),
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), 426),
        (("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), 400),
        (("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), 400),
        (("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: 1"), 400),
        (("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key"), 400),
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13, 8"), 426),
        (("Host: localhost", "Host: localhost\r\nContent-Length: 3"), 400),
        (("Host: localhost", "Host: localhost\r\nTransfer-Encoding: chunked"), 400),
        (("GET", "POST"), 405),
        (("GET", "get"), 405),
        (("HTTP/1.1", "HTTP/1.0"), 400),
    ],
)
def test_a_handshake_that_the_library_would_refuse_in_its_own_words(change: tuple[str, str], expected: int) -> None:
    """Version, key, body, method and HTTP version are ours to answer."""
    start, *lines = "\r\n".join(["GET /ws HTTP/1.1", *HANDSHAKE]).replace(*change).split("\r\n")
    assert status(*lines, start=start) == expected
