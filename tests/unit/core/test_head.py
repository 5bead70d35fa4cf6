"""The strict rules for a request's head."""

import pytest

from wsauth.core.head import check_target, offers, read_head
from wsauth.errors import Refused

Header = tuple[bytes, bytes]
GOOD: list[Header] = [
    (b"host", b"chat.example.com"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]


def replaced(name: bytes, value: bytes) -> list[Header]:
    """Return a good head with one value changed."""
    return [(key, value if key == name else kept) for key, kept in GOOD]


def test_a_good_head_is_read() -> None:
    """What decides comes out as text, what is absent is empty."""
    head = read_head([*GOOD, (b"origin", b"https://a"), (b"cookie", b"a=1"), (b"cookie", b"b=2")])
    assert (head.host, head.origin, head.cookie) == ("chat.example.com", "https://a", "a=1; b=2")
    assert (head.fetch_site, head.authorization) == ("", None)


@pytest.mark.parametrize(
    "host", [b"localhost", b"127.0.0.1:8080", b"[::1]:8080", b"xn--bcher-kva.example", b"a_b.example"]
)
def test_a_host_may_have_many_forms(host: bytes) -> None:
    """Names, addresses and ports."""
    assert read_head(replaced(b"host", host)).host == host.decode()


@pytest.mark.parametrize(
    "headers",
    [
        GOOD[1:],
        replaced(b"host", b""),
        replaced(b"host", b"a b"),
        replaced(b"host", b"user@chat.example.com"),
        replaced(b"host", b"chat.example.com/path"),
        replaced(b"host", b"chat.example.com:123456"),
        replaced(b"host", b"::1"),
        replaced(b"host", b"chat.example.com\n"),
        replaced(b"sec-websocket-key", b"short"),
        replaced(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZR=="),
        replaced(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==\n"),
        replaced(b"sec-websocket-version", b"12"),
        replaced(b"sec-websocket-version", b"13, 8"),
        [*GOOD, (b"origin", b"")],
        [*GOOD, (b"content-length", b"0")],
        [*GOOD, (b"transfer-encoding", b"chunked")],
    ],
)
def test_a_bad_head_is_refused(headers: list[Header]) -> None:
    """Nothing is guessed (RFC 6455 section 4.2.1, RFC 9112)."""
    with pytest.raises(Refused) as refused:
        read_head(headers)
    assert refused.value.code == "request_invalid"


@pytest.mark.parametrize(
    "name", [b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"sec-fetch-site"]
)
def test_a_header_that_decides_comes_once(name: bytes) -> None:
    """Two could be read in two ways, even where they are equal."""
    values = {**dict(GOOD), b"origin": b"https://a", b"sec-fetch-site": b"none"}
    with pytest.raises(Refused, match=name.decode()):
        read_head([*values.items(), (name, values[name])])


@pytest.mark.parametrize("target", ["", "*", "ws", "/a b", "/\x00", "/\xc3\xa4", "http://h/ws", "/a\n"])
def test_a_target_is_an_absolute_path(target: str) -> None:
    """What is no path of visible ASCII is refused."""
    with pytest.raises(Refused):
        check_target(target)


def test_cookies_alone_may_come_in_several_lines() -> None:
    """What is no header that decides may too, and decides nothing."""
    head = read_head([(b"x", b"1"), *GOOD, (b"cookie", b"a=1"), (b"x", b"2"), (b"cookie", b"b=2")])
    assert head.cookie == "a=1; b=2"


def test_two_authorizations_are_ambiguous() -> None:
    """Also where they are equal."""
    with pytest.raises(Refused) as refused:
        read_head([*GOOD, (b"authorization", b"Bearer t"), (b"authorization", b"Bearer t")])
    assert refused.value.code == "credentials_ambiguous"


def test_a_path_is_left_as_it_was_sent() -> None:
    """Escapes and dots are not read."""
    check_target("/ws/..%2f?x=1")


def offered(*values: bytes) -> list[str]:
    """Read the offers of these lines."""
    return offers([*GOOD, *((b"sec-websocket-protocol", value) for value in values)])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((), []),
        ((b"chat",), ["chat"]),
        ((b"chat,\tchess , go.v1",), ["chat", "chess", "go.v1"]),
        ((b"chat", b"chess, go"), ["chat", "chess", "go"]),
        ((b"chat, Chat",), ["chat", "Chat"]),
        ((b"wsauth.v1, wsauth.bearer.t, wsauth.bearer.t",), ["wsauth.v1", "wsauth.bearer.t", "wsauth.bearer.t"]),
    ],
)
def test_offers_are_read_in_order(values: tuple[bytes, ...], names: list[str]) -> None:
    """Over all lines; the same credential twice is left to be called ambiguous."""
    assert offered(*values) == names


@pytest.mark.parametrize(
    "values",
    [
        (b"",),
        (b"chat,",),
        (b",chat",),
        (b"chat,,chess",),
        (b"chat", b""),
        (b"chat, chat",),
        (b"chat", b"chat"),
        (b"wsauth.v1, chat, chat",),
        (b"chat chess",),
        (b"a/b",),
        (b"a;b",),
        (b'"chat"',),
        (b"ch\xe4t",),
        (b"b" + b" " * 60_000 + b"x",),
    ],
)
def test_malformed_offers_are_refused(values: tuple[bytes, ...]) -> None:
    """Each is a token, none is empty, no name of the application is there twice (RFC 6455 section 4.1, HS-33)."""
    with pytest.raises(Refused) as refused:
        offered(*values)
    assert refused.value.code == "request_invalid"
