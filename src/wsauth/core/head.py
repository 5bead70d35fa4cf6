"""The strict rules for a WebSocket request's head, over what the server read (RFC 6455 section 4.2.1, RFC 9112).

No Python server refuses all of these itself.
"""

import re
from functools import lru_cache
from typing import Final

from wsauth.core.fields import Field, is_token
from wsauth.core.protocol.wire import RESERVED_PREFIX
from wsauth.errors import Refused

__all__ = ["Head", "check_target", "offers", "read_head"]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# The second is what Starlette's in-process test client sends; a key opens nothing.
_is_key: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==|testserver==").fullmatch
_ONCE: Final = frozenset(
    {
        b"host",
        b"origin",
        b"authorization",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-fetch-site",
        b"content-length",
        b"transfer-encoding",
    }
)


class Head:
    """Hold the headers that decide, each at most once; an absent one is empty (`authorization`: `None`)."""

    __slots__ = ("authorization", "cookie", "fetch_site", "host", "origin")

    def __init__(self, seen: dict[bytes, bytes]) -> None:
        self.host = seen[b"host"].decode("latin-1")
        self.origin = seen[b"origin"].decode("latin-1") if b"origin" in seen else ""
        self.cookie = seen[b"cookie"].decode("latin-1") if b"cookie" in seen else ""
        self.fetch_site = seen[b"sec-fetch-site"].decode("latin-1") if b"sec-fetch-site" in seen else ""
        presented = seen.get(b"authorization")
        self.authorization = None if presented is None else presented.decode("latin-1").strip(" \t")


def read_head(headers: list[Field]) -> Head:
    """Check a handshake's headers and return those that decide.

    Raises:
        Refused: `request_invalid`, or `credentials_ambiguous` for two Authorization headers.
    """
    seen = dict(headers)
    if len(seen) != len(headers):
        _check_once(headers, seen)
    if not _is_host(seen.get(b"host", b"")):
        raise Refused("request_invalid", "the Host header is missing or not a host (RFC 9112 section 3.2)")
    if b"content-length" in seen or b"transfer-encoding" in seen:
        raise Refused("request_invalid", "the upgrade carries a body (RFC 9110 section 7.8)")
    if seen.get(b"origin") == b"":
        raise Refused("request_invalid", "the Origin header is empty")
    key = seen.get(b"sec-websocket-key")
    if key is not None and not _is_key(key):
        raise Refused("request_invalid", "Sec-WebSocket-Key is not 16 bytes in base64 (RFC 6455 section 4.2.1)")
    version = seen.get(b"sec-websocket-version")
    if version is not None and version != b"13":
        raise Refused("request_invalid", "Sec-WebSocket-Version is not 13 (RFC 6455 section 4.4)")
    return Head(seen)


def _check_once(headers: list[Field], seen: dict[bytes, bytes]) -> None:
    """Refuse a second header of those that decide, but for cookies, which are joined (RFC 9113 section 8.2.3)."""
    met: set[bytes] = set()
    for name, _ in headers:
        if name in _ONCE:
            if name not in met:
                met.add(name)
            elif name == b"authorization":
                raise Refused("credentials_ambiguous", "the Authorization header came more than once")
            else:
                raise Refused("request_invalid", f"the header {name.decode('latin-1')} came more than once")
    if b"cookie" in seen:
        seen[b"cookie"] = b"; ".join([value for name, value in headers if name == b"cookie"])


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def check_target(path: str) -> None:
    """Check the path as sent.

    Raises:
        Refused: `request_invalid`: it is not absolute, or holds a space, a control byte or a byte over 127.
    """
    if not (path.startswith("/") and path.isascii() and path.isprintable() and " " not in path):
        raise Refused("request_invalid", "the request's target is not an absolute path of visible ASCII")


def offers(headers: list[Field]) -> list[str]:
    """Return the subprotocols that a handshake offers, in order (RFC 6455 section 4.1).

    The same credential twice is not for here to refuse: `wsauth.core.handshake.read` calls that ambiguous.

    Raises:
        Refused: `request_invalid`: an entry is no token, is empty, or stands there twice.
    """
    found = [value for name, value in headers if name == b"sec-websocket-protocol"]
    if not found:
        return []
    offered = [each.strip(b" \t") for each in b",".join(found).split(b",")]
    if not all(map(is_token, offered)):
        raise Refused("request_invalid", "Sec-WebSocket-Protocol is not a list of tokens (RFC 6455 section 4.1)")
    names = [each.decode() for each in offered]
    if len(set(names)) != len(names):
        others = [name for name in names if not name.startswith(RESERVED_PREFIX)]
        if len(set(others)) != len(others):
            raise Refused("request_invalid", "a subprotocol was offered twice (RFC 6455 section 4.1)")
    return names
