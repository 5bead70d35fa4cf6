"""A no that needs no application: `application/problem+json` (RFC 9457), and the connection ends with it."""

import logging
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from wsauth.core.refusals import Refusal
from wsauth.integrations.asgi.types import Scope, Send
from wsauth.services.connections.connections import new_id

__all__ = ["answer", "problem", "response"]

_log: Final = logging.getLogger("wsauth")
_NOT_ALLOWED: Final = 405


def problem(code: str, status: int, rule: str, address: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers and the body of a no, and explain it in the log.

    Args:
        code: of the refusal table.
        status: HTTP status.
        rule: which said no and what it saw, for the log.
        address: the peer's.
    """
    refusal = Refusal(code, new_id(), status=status)
    _log.info("Refused %s (%d) from %s: %s (id=%s)", code, status, address or "?", _clean(rule), refusal.id)
    body = msgspec.json.encode(refusal.problem())
    headers = [*refusal.headers(), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    if status == _NOT_ALLOWED:
        headers.append((b"allow", b"GET"))
    return headers, body


def response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return a whole HTTP response."""
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"%b%b\r\n%b" % (_status_line(status), lines, body)


async def answer(scope: Scope, send: Send, code: str, status: int, rule: str) -> None:
    """Answer a request or a handshake with a no."""
    client = scope.get("client")
    headers, body = problem(code, status, rule, client[0] if client else "")
    prefix = "websocket.http" if scope["type"] == "websocket" else "http"
    await send({"type": f"{prefix}.response.start", "status": status, "headers": headers})
    await send({"type": f"{prefix}.response.body", "body": body})


@lru_cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


def _clean(text: str) -> str:
    """Return text that cannot forge a log line (CWE-117), and is not long."""
    return text[:300] if text.isprintable() else text[:300].encode("unicode_escape").decode()
