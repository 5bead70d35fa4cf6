"""HTTP answers as bytes: 101, and a no as `application/problem+json` (RFC 9457), which ends the connection."""

import logging
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from wsauth.core.answer import Answer
from wsauth.core.refusals import Refusal
from wsauth.services.connections.connections import new_id

__all__ = ["ending", "problem", "response", "switching"]

_log: Final = logging.getLogger("wsauth")
_NOT_ALLOWED: Final = 405
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n%b\r\n"
)

Headers = list[tuple[bytes, bytes]]


def switching(accept: bytes, subprotocol: str, answer: Answer | None, headers: Headers) -> bytes:
    """Return the 101 (RFC 6455 section 4.2.2), with what the upstream answered, where it was asked before."""
    rest = b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode("latin-1") if subprotocol else b""
    if headers:
        rest += b"".join([b"%b: %b\r\n" % header for header in headers])
    if answer is not None:
        if answer.extensions:
            rest += b"Sec-WebSocket-Extensions: %b\r\n" % answer.extensions.encode()
        if answer.headers:
            rest += b"".join([b"%b: %b\r\n" % header for header in answer.headers])
    return _SWITCHING % (accept, rest)


def problem(code: str, status: int, rule: str, address: str) -> tuple[Headers, bytes]:
    """Return the headers and the body of a no, and explain it in the log.

    Args:
        code: of the refusal table.
        status: HTTP status.
        rule: which said no and what it saw, for the log.
        address: the peer's.
    """
    refusal = Refusal(code, new_id(), status=status)
    _log.info("Refused %s (%d) from %s: %s (id=%s)", code, status, address or "?", _clean(rule), refusal.id)
    return ending(refusal)


def ending(refusal: Refusal) -> tuple[Headers, bytes]:
    """Return the headers and the body of a no after which the connection ends."""
    body = msgspec.json.encode(refusal.problem())
    headers = [*refusal.headers(), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    if refusal.http_status == _NOT_ALLOWED:
        headers.append((b"allow", b"GET"))
    return headers, body


def response(status: int, headers: Headers, body: bytes) -> bytes:
    """Return a whole HTTP response."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b\r\n%b" % (_status_line(status), lines, body)


@lru_cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


def _clean(text: str) -> str:
    """Return text that cannot forge a log line (CWE-117), and is not long."""
    return text[:300] if text.isprintable() else text[:300].encode("unicode_escape").decode()
