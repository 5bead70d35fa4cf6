"""The strict rules for a WebSocket request's head, over what the server read (RFC 6455 section 4.2.1, RFC 9112).

No Python server refuses all of these itself.
"""

import re
from functools import lru_cache
from typing import Final

from wsauth.errors import Refused

__all__ = ["Head", "check_target", "read_head"]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# The second is what Starlette's in-process test client sends; a key opens nothing.
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==|testserver==")
_TARGET: Final = re.compile(r"/[!-~]*", re.ASCII)
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
_READ: Final = _ONCE | {b"cookie"}


class Head:
    """Hold the headers that decide, each at most once; an absent one is empty (`authorization`: `None`)."""

    __slots__ = ("authorization", "cookie", "fetch_site", "host", "origin")

    def __init__(self, seen: dict[bytes, bytes]) -> None:
        self.host = seen.get(b"host", b"").decode("latin-1")
        self.origin = seen.get(b"origin", b"").decode("latin-1")
        self.cookie = seen.get(b"cookie", b"").decode("latin-1")
        self.fetch_site = seen.get(b"sec-fetch-site", b"").decode("latin-1")
        presented = seen.get(b"authorization")
        self.authorization = None if presented is None else presented.decode("latin-1").strip(" \t")


def read_head(headers: list[tuple[bytes, bytes]]) -> Head:
    """Check a handshake's headers and return those that decide.

    Raises:
        Refused: `request_invalid`, or `credentials_ambiguous` for two Authorization headers.
    """
    seen: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _READ:
            if name not in seen:
                seen[name] = value
            elif name == b"cookie":
                seen[name] += b"; " + value
            elif name == b"authorization":
                raise Refused("credentials_ambiguous", "the Authorization header came more than once")
            else:
                raise Refused("request_invalid", f"the header {name.decode('latin-1')} came more than once")
    if not _is_host(seen.get(b"host", b"")):
        raise Refused("request_invalid", "the Host header is missing or not a host (RFC 9112 section 3.2)")
    if b"content-length" in seen or b"transfer-encoding" in seen:
        raise Refused("request_invalid", "the upgrade carries a body (RFC 9110 section 7.8)")
    if b"origin" in seen and not seen[b"origin"]:
        raise Refused("request_invalid", "the Origin header is empty")
    key = seen.get(b"sec-websocket-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refused("request_invalid", "Sec-WebSocket-Key is not 16 bytes in base64 (RFC 6455 section 4.2.1)")
    version = seen.get(b"sec-websocket-version")
    if version is not None and version != b"13":
        raise Refused("request_invalid", "Sec-WebSocket-Version is not 13 (RFC 6455 section 4.4)")
    return Head(seen)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def check_target(path: str) -> None:
    """Check the path as sent.

    Raises:
        Refused: `request_invalid`: it is not absolute, or holds a space, a control byte or a byte over 127.
    """
    if not _TARGET.fullmatch(path):
        raise Refused("request_invalid", "the request's target is not an absolute path of visible ASCII")
