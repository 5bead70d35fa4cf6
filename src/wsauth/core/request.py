"""The strict rules for every request's head, before any parser sees it (RFC 9112, RFC 6455 section 4.2.1).

Bytes in, a value out. What this lets through, httptools and `websockets` read the same way: each line is
`name: value`, the body's length is known or chunked, and an upgrade is one that we can answer.
`wsauth.core.head` then looks at what decides about a handshake.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from wsauth.core.fields import END, LINES, BadFields, Field, fields, lines, repeats, tokens

__all__ = ["BODY_LIMIT", "CHUNKED", "END", "BadHead", "Request", "host_name", "plain", "read"]

BODY_LIMIT: Final = 65_536
"""Bytes of a request's body."""
CHUNKED: Final = -1
"""The length of a body that is sent in chunks."""

_LINE: Final = 8_190
"""Bytes of a handshake's header line; the WebSocket library takes 8192 with the line's end, and does not answer
beyond, nor does uvicorn then."""
_TARGET: Final = 8_000
"""Bytes of a target (RFC 9112 section 3 recommends 8000 at least)."""

_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_is_key: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==").fullmatch
_HOST: Final = re.compile(rb"([A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SINGLE: Final = (b"host", b"content-length", b"transfer-encoding")

BAD_REQUEST, NOT_ALLOWED, BODY_TOO_LARGE, TARGET_TOO_LONG, UPGRADE_REQUIRED, HEAD_TOO_LARGE = (
    400,
    405,
    413,
    414,
    426,
    431,
)


class BadHead(ValueError):
    """Say no to a request, with an HTTP status and the rule, which is for the log."""

    def __init__(self, status: int, rule: str) -> None:
        super().__init__(rule)
        self.status = status
        self.rule = rule


class Request(msgspec.Struct, frozen=True, gc=False):
    """Hold what a head says.

    Attributes:
        start: the request line as sent.
        method: as sent; it has a case (RFC 9110 section 9.1).
        target: path and query as sent.
        path: as sent, without the query.
        query: behind the question mark, as sent.
        headers: names in lower case and values without white space around them, in order.
        host: the name in the Host header, in lower case, without brackets and port.
        websocket: it is a WebSocket handshake.
        body: bytes of the body, or `CHUNKED`.
        key: of a WebSocket handshake, Sec-WebSocket-Key.
    """

    start: bytes
    method: bytes
    target: bytes
    path: str
    query: bytes
    headers: list[Field]
    host: str
    websocket: bool
    body: int
    key: bytes = b""


@lru_cache(maxsize=256)
def host_name(value: bytes) -> str | None:
    """Return the name in a Host header, in lower case, without brackets and port; `None` where it is no host."""
    match = _HOST.fullmatch(value)
    return None if match is None else match[1].decode().lower().strip("[]")


def read(raw: bytes) -> Request:
    """Check a whole head, its empty line included.

    Raises:
        BadHead: it breaks a rule.
    """
    try:
        found = lines(raw)
        start = found[0]
        method, target, minor = _start(start)
        if len(found) > LINES + 1:
            raise BadHead(HEAD_TOO_LARGE, f"there are more than {LINES} header lines")
        headers = fields(found)
    except BadFields as error:
        raise BadHead(BAD_REQUEST, str(error)) from None
    named = dict(headers)
    if len(named) != len(headers):
        for single in _SINGLE:
            if repeats(headers, single):
                raise BadHead(BAD_REQUEST, f"the header {single.decode()} came more than once")
    host = host_name(named.get(b"host", b""))
    if host is None:
        raise BadHead(BAD_REQUEST, "the Host header is missing or not a host (RFC 9112 section 3.2)")
    body = _body(named, minor) if b"content-length" in named or b"transfer-encoding" in named else 0
    websocket = b"upgrade" in named and _asks_for_websocket(headers, named)
    if websocket:
        if method != b"GET":
            raise BadHead(NOT_ALLOWED, "the handshake's method is not GET (RFC 6455 section 4.2.1)")
        if minor == b"0":
            raise BadHead(BAD_REQUEST, "HTTP/1.0 has no upgrade (RFC 9110 section 7.8)")
        if body:
            raise BadHead(BAD_REQUEST, "the upgrade carries a body (RFC 9110 section 7.8)")
        _check_handshake(headers, named, len(raw))
    path, _, query = target.partition(b"?")
    key = named[b"sec-websocket-key"] if websocket else b""
    return Request(start, method, target, path.decode(), query, headers, host, websocket, body, key)


def plain(request: Request) -> bytes:
    """Return the head of a request that is no handshake for a parser that is less strict: it sees no upgrade.

    A server may ignore an upgrade to what it does not speak (RFC 9110 section 7.8).
    """
    lines = [b"%b: %b\r\n" % field for field in request.headers if field[0] != b"upgrade"]
    return b"%b\r\n%b\r\n" % (request.start, b"".join(lines))


def _start(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Return method, target and minor version; nothing but visible ASCII is in the target, and no fragment."""
    parts = line.split(b" ")
    if len(parts) == 3:
        method, target, version = parts
        if (
            (version in (b"HTTP/1.1", b"HTTP/1.0"))
            and target[:1] == b"/"
            and target.isascii()
            and b"#" not in target
            and b"\t" not in target
            and (method == b"GET" or _METHOD.fullmatch(method))
        ):
            if len(target) > _TARGET:
                raise BadHead(TARGET_TOO_LONG, f"the target is longer than {_TARGET} bytes")
            return method, target, version[-1:]
    raise BadHead(BAD_REQUEST, "the request line is not METHOD /PATH HTTP/1.1")


def _body(named: dict[bytes, bytes], minor: bytes) -> int:
    """Return the body's length (RFC 9112 section 6.3), or that it comes in chunks."""
    length, coding = named.get(b"content-length"), named.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadHead(BAD_REQUEST, "both Content-Length and Transfer-Encoding are there (RFC 9112 section 6.3)")
        if coding.lower() != b"chunked" or minor == b"0":
            raise BadHead(BAD_REQUEST, "the Transfer-Encoding is not chunked")
        return CHUNKED
    if length is None:
        return 0
    if not _LENGTH.fullmatch(length):
        raise BadHead(BAD_REQUEST, "the Content-Length is not a number")
    if int(length) > BODY_LIMIT:
        raise BadHead(BODY_TOO_LARGE, f"the body is larger than {BODY_LIMIT} bytes")
    return int(length)


def _asks_for_websocket(headers: list[Field], named: dict[bytes, bytes]) -> bool:
    if named[b"upgrade"].lower() != b"websocket":
        return False
    if len(named) == len(headers):
        connection = named.get(b"connection", b"")
        return connection == b"Upgrade" or b"upgrade" in tokens(connection)
    connections = [value for name, value in headers if name == b"connection"]
    return not repeats(headers, b"upgrade") and b"upgrade" in tokens(b",".join(connections))


def _check_handshake(headers: list[Field], named: dict[bytes, bytes], size: int) -> None:
    """Refuse what the WebSocket library would answer in words of its own, or not at all."""
    if size > _LINE and any(len(name) + 2 + len(value) > _LINE for name, value in headers):
        raise BadHead(HEAD_TOO_LARGE, f"a header line of the handshake is longer than {_LINE} bytes")
    several = len(named) != len(headers)
    if named.get(b"sec-websocket-version") != b"13" or (several and repeats(headers, b"sec-websocket-version")):
        raise BadHead(UPGRADE_REQUIRED, "Sec-WebSocket-Version is not 13 (RFC 6455 section 4.4)")
    key = named.get(b"sec-websocket-key", b"")
    if not _is_key(key) or (several and repeats(headers, b"sec-websocket-key")):
        raise BadHead(BAD_REQUEST, "there is not one Sec-WebSocket-Key of 16 bytes in base64 (RFC 6455 section 4.2.1)")
