"""Header lines of HTTP/1.1, read strictly: one reading is possible, or none (RFC 9110 section 5, RFC 9112 section 5).

This runs for every head that comes in, from either side, so a line costs one look into a table in the usual case.
"""

from typing import Final

__all__ = ["END", "LINES", "BadFields", "Field", "fields", "is_token", "lines", "repeats", "tokens"]

Field = tuple[bytes, bytes]

END: Final = b"\r\n\r\n"
"""What ends a head."""
LINES: Final = 100
"""Header lines; the WebSocket library takes 128 and does not answer beyond."""

_TEXT: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""What a line may hold (RFC 9110 section 5.5)."""
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What a name may hold (RFC 9110 section 5.6.2)."""
_COMMON: Final = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "DNT",
    "Date",
    "Forwarded",
    "Host",
    "Origin",
    "Pragma",
    "Priority",
    "Referer",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-GPC",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "Server",
    "Set-Cookie",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Via",
    "X-CSRF-Token",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
)


def _spellings(name: str) -> dict[bytes, bytes]:
    low = name.lower().encode()
    return {each.encode(): low for each in (name, name.lower(), name.title())}


_KNOWN: Final = {spelled: low for name in _COMMON for spelled, low in _spellings(name).items()}
"""A name as it is usually sent → in lower case."""


class BadFields(ValueError):
    """Say that a head cannot be read in one way only; the rule is for the log and repeats nothing of what came."""


def lines(raw: bytes) -> list[bytes]:
    """Return the lines of a whole head, the first with them, without the empty one that ends it.

    Raises:
        BadFields: a byte must not be there, a line ends with CR or LF alone, or there is no end.
    """
    # A CR or LF alone ends a line here too, so that there are then more lines than pairs of them.
    found = raw.splitlines()
    if raw.translate(None, _TEXT) != b"\r\n" * len(found):
        raise BadFields("a control byte, or CR or LF alone, is in the head (RFC 9112 section 2.2)")
    if len(found) < 2 or found.pop():
        raise BadFields("the head does not end with an empty line (RFC 9112 section 2.1)")
    return found


def fields(found: list[bytes]) -> list[Field]:
    """Return the header lines behind the first as names in lower case and values, in order.

    Raises:
        BadFields: a line is not NAME: VALUE; a folded one and a blank before the colon are none.
    """
    read: list[Field] = []
    known = _KNOWN.get
    for line in found[1:]:
        name, colon, value = line.partition(b":")
        low = known(name)
        if low is None:
            if not name or name.translate(None, _TOKEN):
                raise BadFields("a header line is not NAME: VALUE (RFC 9112 section 5)")
            low = name.lower()
        if not colon:
            raise BadFields("a header line is not NAME: VALUE (RFC 9112 section 5)")
        # `lines` has left no white space but blanks and tabs.
        read.append((low, value.strip()))
    return read


def is_token(text: bytes) -> bool:
    """Tell whether it may be a name (RFC 9110 section 5.6.2)."""
    return text != b"" and not text.translate(None, _TOKEN)


def repeats(read: list[Field], name: bytes) -> bool:
    """Tell whether a header came more than once."""
    return sum(each == name for each, _ in read) > 1


def tokens(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list, in lower case (RFC 9110 section 5.6.1); empty ones are left out."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]
