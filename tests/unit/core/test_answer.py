"""The upstream's answer to a handshake (ATTACKS GW-13, GW-26)."""

import pytest

from wsauth.core.answer import Answer, BadAnswer, accept_of, read_answer
from wsauth.core.extensions import NONE, Offers, read_offers

ACCEPT = accept_of(b"dGhlIHNhbXBsZSBub25jZQ==")
DEFLATE = read_offers([(b"sec-websocket-extensions", b"permessage-deflate; server_max_window_bits=10")])
GOOD = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Accept: {ACCEPT.decode()}",
)
YES = "HTTP/1.1 101 Switching Protocols"


def answered(
    *lines: str,
    start: str = YES,
    without: str = "-",
    offered: tuple[str, ...] = ("chat", "chess"),
    extensions: Offers = DEFLATE,
) -> Answer:
    """Read a good answer with these lines more, and without those that begin so."""
    kept = [line for line in GOOD if not line.startswith(without)]
    raw = "\r\n".join([start, *kept, *lines, "", ""]).encode("latin-1")
    return read_answer(raw, ACCEPT, offered, extensions)


def refused(*lines: str, start: str = YES, without: str = "-") -> BadAnswer:
    """Return why an answer is refused."""
    with pytest.raises(BadAnswer) as error:
        answered(*lines, start=start, without=without)
    assert error.value.reason
    return error.value


def test_the_accept_is_that_of_the_rfc() -> None:
    """The example of RFC 6455 section 1.3."""
    assert ACCEPT == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("start", [YES, "HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.1 101 Caf\xe9 ouvert"])
def test_a_yes_is_read(start: str) -> None:
    """Whatever its reason phrase is."""
    assert answered(start=start) == Answer("", "", [])


@pytest.mark.parametrize(
    ("without", "lines"),
    [
        ("Upgrade", ("upgrade: WebSocket",)),
        ("Connection", ("Connection: keep-alive, upgrade",)),
        ("Connection", ("Connection: keep-alive", "connection: UPGRADE")),
        ("-", ("Content-Length: 0",)),
    ],
)
def test_a_yes_may_be_spelled_in_other_ways(without: str, lines: tuple[str, ...]) -> None:
    """Letter case and what else Connection lists do not matter, and a length of nothing is no body."""
    assert answered(*lines, without=without) == Answer("", "", [])


def test_what_the_upstream_chose_is_known() -> None:
    """One of the offered subprotocols, and an extension that was offered, as it goes to the client."""
    chosen = answered(
        "Sec-WebSocket-Protocol: chess", "Sec-WebSocket-Extensions: permessage-deflate;server_max_window_bits=9"
    )
    assert chosen.subprotocol == "chess"
    assert (chosen.extensions, chosen.deflate) == ("permessage-deflate; server_max_window_bits=9", True)
    assert not answered().deflate


def test_the_applications_headers_go_to_the_client() -> None:
    """Cookies and names of its own, each as often as it came; what is between two neighbours or ours does not."""
    found = answered(
        "Set-Cookie: a=1; Path=/",
        "set-cookie: b=2",
        "X-Room: caf\xe9",
        "Keep-Alive: timeout=5",
        "Server: secret/1.0",
        "Date: Tue, 15 Nov 1994 08:12:31 GMT",
        "Content-Type: text/plain",
        "X-Hop: 1",
        "X-Wsauth-Assertion: a.b.c",
        "x_wsauth_subject: alice",
        "Sec-WebSocket-Version: 13",
        "Connection: X-Hop",
    )
    assert found.headers == [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2"), (b"x-room", b"caf\xe9")]


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("HTTP/1.1 200 OK", 200),
        ("HTTP/1.1 401 Unauthorized", 401),
        ("HTTP/1.0 403 Forbidden", 403),
        ("HTTP/1.1 503", 503),
        ("HTTP/1.1 100 Continue", 100),
    ],
)
def test_a_no_has_its_status(start: str, status: int) -> None:
    """Whoever asks decides what it means; that it would be a good handshake otherwise does not matter."""
    assert refused(start=start).status == status


@pytest.mark.parametrize(
    "start",
    [
        "HTTP/1.0 101 Switching Protocols",
        "HTTP/2 101",
        "HTTP/1.1  101 OK",
        "HTTP/1.1 1010 OK",
        "HTTP/1.1 10 OK",
        "HTTP/1.1 +10 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 \xb2\xb2\xb2 OK",
        "HTTP/1.1 101OK",
        "http/1.1 101 OK",
        " HTTP/1.1 101 OK",
        "ICY 101 OK",
        "",
    ],
)
def test_what_is_no_status_line_is_no_answer(start: str) -> None:
    """Not even a status is believed then."""
    assert refused(start=start).status is None


@pytest.mark.parametrize(
    ("without", "lines"),
    [
        ("Upgrade", ()),
        ("Upgrade", ("Upgrade: h2c",)),
        ("Upgrade", ("Upgrade: websocket, h2c",)),
        ("-", ("Upgrade: websocket",)),
        ("Connection", ()),
        ("Connection", ("Connection: keep-alive",)),
        ("Connection", ("Connection: xupgrade",)),
        ("Sec-WebSocket-Accept", ()),
        ("Sec-WebSocket-Accept", ("Sec-WebSocket-Accept: AAAAMBiTxaQ9kYGzzhZRbK+xOo=",)),
        ("Sec-WebSocket-Accept", (f"Sec-WebSocket-Accept: {ACCEPT.decode().lower()}",)),
        ("Sec-WebSocket-Accept", (f"Sec-WebSocket-Accept: {ACCEPT.decode()}x",)),
        ("-", (f"Sec-WebSocket-Accept: {ACCEPT.decode()}",)),
        ("-", ("Sec-WebSocket-Protocol: go",)),
        ("-", ("Sec-WebSocket-Protocol:",)),
        ("-", ("Sec-WebSocket-Protocol: chat, chess",)),
        ("-", ("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat")),
        ("-", ("Sec-WebSocket-Protocol: Chat",)),
        ("-", ("Sec-WebSocket-Extensions: x",)),
        ("-", ("Sec-WebSocket-Extensions:",)),
        ("-", ("Sec-WebSocket-Extensions: permessage-deflate",)),
        ("-", ("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9",) * 2),
        ("-", ("Content-Length: 5",)),
        ("-", ("Content-Length: 0", "Content-Length: 0")),
        ("-", ("Transfer-Encoding: chunked",)),
        ("-", ("X-A: 1\r\n folded",)),
        ("-", ("X-A: 1\n",)),
        ("-", ("X-A: \x00",)),
        ("-", ("X-A: 1\rX-B: 2",)),
        ("-", ("X A: 1",)),
        ("-", ("X-A : 1",)),
        ("-", ("X-A",)),
        ("-", ("", "X: 1")),
        ("-", ("X: 1",) * 98),
    ],
)
def test_a_false_yes_opens_nothing(without: str, lines: tuple[str, ...]) -> None:
    """A status is not enough, and neither is a line that two readers could read differently (GW-13, GW-26)."""
    assert refused(*lines, without=without).status is None


def test_a_hundred_lines_are_not_too_many() -> None:
    """The limit is that of a request."""
    assert len(answered(*("X: 1",) * 97).headers) == 97


@pytest.mark.parametrize("raw", [b"", b"\r\n\r\n", YES.encode() + b"\r\n", b"\xff" * 100, b"HTTP/1.1 101\r\n\r\nX"])
def test_what_is_no_head_is_no_answer(raw: bytes) -> None:
    """Half a head, two, or something else."""
    with pytest.raises(BadAnswer):
        read_answer(raw, ACCEPT, (), NONE)


def test_nothing_was_offered() -> None:
    """Then nothing can be chosen, not even the empty name."""
    for line in (
        "Sec-WebSocket-Protocol: chat",
        "Sec-WebSocket-Protocol:",
        "Sec-WebSocket-Extensions: permessage-deflate",
    ):
        with pytest.raises(BadAnswer, match="not offered"):
            answered(line, offered=(), extensions=NONE)


@pytest.mark.parametrize(
    "line", ["Sec-WebSocket-Protocol: \x1b[31mforged", "Sec-WebSocket-Extensions: forged", "forged", "X: forged\x00"]
)
def test_nothing_of_an_answer_stands_in_the_reason(line: str) -> None:
    """The reason goes to the log, which the upstream does not write."""
    error = refused(line)
    assert "forged" not in error.reason
    assert error.reason.isprintable()
