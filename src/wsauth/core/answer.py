"""The upstream's answer to our handshake, checked as strictly as a client's request (RFC 6455 section 4.1).

A status alone opens nothing: whoever may answer 101 without having read the handshake would get a tunnel.
Nothing that the upstream wrote stands in an error as it is.
"""

from base64 import b64encode
from collections.abc import Collection
from hashlib import sha1
from typing import Final

import msgspec

from wsauth.core.extensions import Offers
from wsauth.core.fields import LINES, BadFields, Field, fields, lines, tokens

__all__ = ["Answer", "BadAnswer", "accept_of", "read_answer"]

_YES: Final = b"HTTP/1.1 101 "
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ONCE: Final = frozenset(
    {
        b"upgrade",
        b"sec-websocket-accept",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
        b"content-length",
    }
)
_OURS: Final = frozenset(
    {
        b"connection",
        b"upgrade",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"date",
        b"server",
        # Those that `_OUR_PREFIXES` stands for and that are usual: one look instead of two.
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
    }
)
"""What is between the upstream and us alone (RFC 9110 section 7.6.1), and what tells what it is made of."""
_OUR_PREFIXES: Final = (b"sec-websocket-", b"content-", b"x-wsauth-")


class BadAnswer(ValueError):
    """Say that an answer opens nothing.

    Attributes:
        reason: for the log.
        status: of a whole answer that says no; `None` where it is not to be trusted at all.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Hold what an upstream that said yes chose.

    Attributes:
        subprotocol: one of those offered to it, or empty.
        extensions: what goes to the client as `Sec-WebSocket-Extensions`, or empty.
        headers: what else goes to the client, such as `Set-Cookie`: neither what is hop-by-hop or about content, nor
            `Sec-WebSocket-*`, `X-Wsauth-*`, `Server` and `Date`. Names in lower case.
    """

    subprotocol: str
    extensions: str
    headers: list[Field]

    @property
    def deflate(self) -> bool:
        """Whether messages may be compressed, so that RSV1 may be set (RFC 7692 section 6)."""
        return bool(self.extensions)


def accept_of(key: bytes) -> bytes:
    """Return the value of Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def read_answer(raw: bytes, accept: bytes, offered: Collection[str], extensions: Offers) -> Answer:
    """Check the whole head of an answer, its empty line included.

    Args:
        raw: the head; how long it may be is the caller's to say.
        accept: what Sec-WebSocket-Accept must be, `accept_of` the key that was sent.
        offered: the subprotocols that were offered to the upstream.
        extensions: what was offered to it.

    Raises:
        BadAnswer: it is no 101 to this handshake.
    """
    try:
        found = lines(raw)
        status = 101 if found[0].startswith(_YES) else _status(found[0])
        if len(found) > LINES + 1:
            raise BadAnswer(f"the upstream's answer has more than {LINES} header lines")
        headers = fields(found)
    except BadFields as error:
        raise BadAnswer(f"the upstream's answer is malformed: {error}") from None
    if status != 101:
        raise BadAnswer(f"the upstream answered {status}", status)
    named = dict(headers)
    if len(named) != len(headers):
        _check_once(headers)
    if named.get(b"upgrade", b"").lower() != b"websocket":
        raise BadAnswer("the upstream's 101 does not say Upgrade: websocket")
    if named.get(b"connection") != b"Upgrade" and b"upgrade" not in _connection(headers):
        raise BadAnswer("the upstream's 101 does not say Connection: Upgrade")
    if named.get(b"sec-websocket-accept") != accept:
        raise BadAnswer("the upstream's Sec-WebSocket-Accept is not the one of our key")
    if b"transfer-encoding" in named or named.get(b"content-length", b"0") != b"0":
        raise BadAnswer("the upstream's 101 has a body (RFC 9110 section 8.6)")
    subprotocol = named.get(b"sec-websocket-protocol", b"").decode("latin-1")
    if b"sec-websocket-protocol" in named and subprotocol not in offered:
        raise BadAnswer("the upstream chose a subprotocol that was not offered to it")
    chosen = named.get(b"sec-websocket-extensions")
    return Answer(subprotocol, "" if chosen is None else _accepted(chosen, extensions), _passed(headers))


def _status(line: bytes) -> int:
    """Return the status of a line (RFC 9112 section 4); that a blank follows it without a reason is not asked."""
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if (
        version not in (b"HTTP/1.1", b"HTTP/1.0")
        or not code.isdigit()
        or len(code) != 3
        or rest[3:4] not in (b"", b" ")
    ):
        raise BadAnswer("the upstream's answer does not begin with HTTP/1.1 STATUS")
    status = int(code)
    if status < 100 or (status == 101 and version != b"HTTP/1.1"):
        raise BadAnswer("the upstream's answer does not begin with HTTP/1.1 STATUS")
    return status


def _check_once(headers: list[Field]) -> None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in _ONCE:
            if name in seen:
                raise BadAnswer(f"the upstream's 101 has {name.decode()} more than once")
            seen.add(name)


def _connection(headers: list[Field]) -> list[bytes]:
    return tokens(b",".join([value for name, value in headers if name == b"connection"]))


def _accepted(chosen: bytes, extensions: Offers) -> str:
    try:
        return extensions.accept(chosen.decode("latin-1"))
    except ValueError:
        raise BadAnswer("the upstream chose an extension that was not offered to it, or not so") from None


def _passed(headers: list[Field]) -> list[Field]:
    kept = [field for field in headers if field[0] not in _OURS]
    if kept:
        listed = _connection(headers)
        kept = [
            field
            for field in kept
            if field[0] not in listed and not field[0].replace(b"_", b"-").startswith(_OUR_PREFIXES)
        ]
    return kept
