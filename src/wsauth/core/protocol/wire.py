"""All names and numbers of the wire (PROTOCOL.md)."""

from typing import Final

__all__ = [
    "BEARER_PREFIX",
    "CONTROL_LIMIT",
    "HELD_LIMIT",
    "RESERVED_PREFIX",
    "SUBPROTOCOL",
    "TICKET_PREFIX",
    "VERSION",
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

RENEWAL_INTERVAL: Final = 10.0
"""Seconds between two successful renewals."""
CLOSE_TIMEOUT: Final = 5.0
"""Seconds from deciding to close until TCP is gone."""
REFUSED_CLOSE_TIMEOUT: Final = 2.0
"""The same for a refusal that is accepted so that its page can read it."""
MESSAGE_REFUSALS_PER_MINUTE: Final = 10
"""Refused application messages in a minute after which the connection is closed (1008)."""
