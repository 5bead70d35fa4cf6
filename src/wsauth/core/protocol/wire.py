"""All names and numbers of the wire (PROTOCOL.md)."""

from typing import Final

from wsauth.core.throttling import Rate

__all__ = [
    "BEARER_PREFIX",
    "CLOSE_TIMEOUT",
    "CONTROL_LIMIT",
    "HELD_LIMIT",
    "MESSAGE_REFUSALS_PER_MINUTE",
    "REASON_LIMIT",
    "REFUSED_CLOSE_TIMEOUT",
    "REFUSED_MESSAGES",
    "RENEWAL_INTERVAL",
    "RESERVED_PREFIX",
    "SUBPROTOCOL",
    "TICKET_PREFIX",
    "VERSION",
    "sendable",
]

VERSION: Final = 1
SUBPROTOCOL: Final = "wsauth.v1"
RESERVED_PREFIX: Final = "wsauth."
BEARER_PREFIX: Final = "wsauth.bearer."
TICKET_PREFIX: Final = "wsauth.ticket."

CONTROL_LIMIT: Final = 16_384
"""Bytes of the longest message that is taken as a control message."""
HELD_LIMIT: Final = 16_384
"""Bytes of messages that wait while a credential is verified or the lease has ended; then reading stops."""

REASON_LIMIT: Final = 123
"""Bytes of a close reason (RFC 6455 section 5.5: 125 for a control frame, two of them the code)."""
RENEWAL_INTERVAL: Final = 10.0
"""Seconds between two successful renewals."""
CLOSE_TIMEOUT: Final = 5.0
"""Seconds from deciding to close until TCP is gone."""
REFUSED_CLOSE_TIMEOUT: Final = 2.0
"""The same for a refusal that is accepted so that its page can read it."""
MESSAGE_REFUSALS_PER_MINUTE: Final = 10
REFUSED_MESSAGES: Final = Rate(200, 60.0)
"""Messages that rules refuse, whatever for, before the connection is closed."""
"""Refused application messages in a minute after which the connection is closed (1008)."""


def sendable(code: int) -> int:
    """Return a close code as a close frame may hold it (RFC 6455 section 7.4).

    1014, which some libraries take for an error, becomes 1011; what nobody may send becomes 1000.
    """
    if 1000 <= code <= 1003 or 1007 <= code <= 1013 or 3000 <= code <= 4999:
        return code
    return 1011 if code == 1014 else 1000
