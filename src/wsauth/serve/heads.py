"""The strict rules for every request's head, before any parser sees it (RFC 9112, RFC 6455 section 4.2.1).

Bytes in, a value out. What this lets through, httptools and `websockets` read the same way: each line is
`name: value`, the body's length is known or chunked, and an upgrade is one that the WebSocket library can answer.
`wsauth.core.head` then looks at what decides about a handshake.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["BODY_LIMIT", "CHUNKED", "END", "BadHead", "Head", "host_name", "read"]

BODY_LIMIT: Final = 65_536
"""Bytes of a request's body."""
CHUNKED: Final = -1
"""The length of a body that is sent in chunks."""
END: Final = b"\r\n\r\n"

_LINES: Final = 100
"""Header lines; the WebSocket library takes 128 and does not answer beyond."""
_LINE: Final = 8_190
"""Bytes of a handshake's header line; the WebSocket library takes 8192 with the line's end, and does not answer
beyond, nor does uvicorn then."""
_TARGET: Final = 8_000
"""Bytes of a target (RFC 9112 section 3 recommends 8000 at least)."""

_START: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (/[!-~]*) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
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


@dataclass(frozen=True, slots=True)
class Head:
    """Hold what the connection must know.

    Attributes:
        raw: the head for the parser: an upgrade that is none of ours is taken out (RFC 9110 section 7.8), one to
            WebSocket is in its plainest form.
        websocket: it is a WebSocket handshake.
        body: bytes of the body, or `CHUNKED`.
    """

    raw: bytes
    websocket: bool
    body: int


def host_name(value: bytes) -> str | None:
    """Return the name in a Host header, in lower case, without brackets and port; `None` where it is no host."""
    match = _HOST.fullmatch(value)
    return None if match is None else match[1].decode().lower().strip("[]")


def read(raw: bytes) -> Head:
    """Check a whole head, its empty line included.

    Raises:
        BadHead: it breaks a rule.
    """
    first, *lines = raw[: -len(END)].split(b"\r\n")
    start = _START.fullmatch(first)
    if start is None:
        raise BadHead(BAD_REQUEST, "the request line is not METHOD /PATH HTTP/1.1")
    method, target, minor = start.groups()
    if len(target) > _TARGET:
        raise BadHead(TARGET_TOO_LONG, f"the target is longer than {_TARGET} bytes")
    if len(lines) > _LINES:
        raise BadHead(HEAD_TOO_LARGE, f"there are more than {_LINES} header lines")
    fields = [_field(line) for line in lines]
    found = _singles(fields)
    if host_name(found.get(b"host", b"")) is None:
        raise BadHead(BAD_REQUEST, "the Host header is missing or not a host (RFC 9112 section 3.2)")
    body = _body(found, minor)
    websocket = _asks_for_websocket(fields)
    if websocket:
        _check_handshake(method, minor, fields, body)
        fields = [(name, value) for name, value in fields if name.lower() not in (b"connection", b"upgrade")]
        fields += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    else:
        fields = [(name, value) for name, value in fields if name.lower() != b"upgrade"]
    plain = b"".join(b"%b: %b\r\n" % field for field in fields)
    return Head(b"%b\r\n%b\r\n" % (first, plain), websocket, body)


def _field(line: bytes) -> tuple[bytes, bytes]:
    field = _FIELD.fullmatch(line)
    if field is None:
        raise BadHead(BAD_REQUEST, "a header line is not NAME: VALUE (RFC 9112 section 5)")
    return field[1], field[2].rstrip(b" \t")


def _singles(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers that a request may have once."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in _SINGLE:
            if lower in found:
                raise BadHead(BAD_REQUEST, f"the header {lower.decode()} came more than once")
            found[lower] = value
    return found


def _body(found: dict[bytes, bytes], minor: bytes) -> int:
    """Return the body's length (RFC 9112 section 6.3), or that it comes in chunks."""
    length, coding = found.get(b"content-length"), found.get(b"transfer-encoding")
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


def _asks_for_websocket(fields: list[tuple[bytes, bytes]]) -> bool:
    upgrade = [value.lower() for name, value in fields if name.lower() == b"upgrade"]
    connection = b",".join(value.lower() for name, value in fields if name.lower() == b"connection")
    return upgrade == [b"websocket"] and b"upgrade" in [option.strip(b" \t") for option in connection.split(b",")]


def _check_handshake(method: bytes, minor: bytes, fields: list[tuple[bytes, bytes]], body: int) -> None:
    """Refuse what the WebSocket library would answer in words of its own, or not at all."""
    if method != b"GET":
        raise BadHead(NOT_ALLOWED, "the handshake's method is not GET (RFC 6455 section 4.2.1)")
    if minor == b"0":
        raise BadHead(BAD_REQUEST, "HTTP/1.0 has no upgrade (RFC 9110 section 7.8)")
    if body:
        raise BadHead(BAD_REQUEST, "the upgrade carries a body (RFC 9110 section 7.8)")
    if any(len(name) + 2 + len(value) > _LINE for name, value in fields):
        raise BadHead(HEAD_TOO_LARGE, f"a header line of the handshake is longer than {_LINE} bytes")
    if [value for name, value in fields if name.lower() == b"sec-websocket-version"] != [b"13"]:
        raise BadHead(UPGRADE_REQUIRED, "Sec-WebSocket-Version is not 13 (RFC 6455 section 4.4)")
    keys = [value for name, value in fields if name.lower() == b"sec-websocket-key"]
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise BadHead(BAD_REQUEST, "there is not one Sec-WebSocket-Key of 16 bytes in base64 (RFC 6455 section 4.2.1)")
