"""What the machine tells its host to do. A host carries them out in order and decides nothing."""

from typing import Literal

import msgspec

from wsauth.core.credentials import Credentials
from wsauth.core.events import Event
from wsauth.core.refusals import Refusal

__all__ = [
    "Abort",
    "Accept",
    "Close",
    "Command",
    "Connect",
    "Deliver",
    "Message",
    "Pause",
    "Refuse",
    "Send",
    "Tell",
    "Verify",
    "WakeAt",
]

Message = str | bytes
"""An application message: text or binary."""


class Accept(msgspec.Struct, frozen=True, gc=False):
    """Answer the handshake with 101 and this subprotocol (empty for none)."""

    subprotocol: str


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """Answer the handshake with an HTTP refusal."""

    refusal: Refusal


class Verify(msgspec.Struct, frozen=True, gc=False):
    """Have the credentials verified, and report with `Machine.answered(number, …)`."""

    number: int
    credentials: Credentials


class Connect(msgspec.Struct, frozen=True, gc=False):
    """Connect what is behind: run the application, or open the upstream; report with `Machine.connected`."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a control message to the client, between two messages."""

    text: str


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """Pass a client's message on; `number`, from 1, is its own among those that rules have judged, refused ones too."""

    message: Message
    number: int = 0


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Stop or go on reading from one side; a paused side is held by back-pressure."""

    side: Literal["client", "upstream"]
    paused: bool


class Close(msgspec.Struct, frozen=True, gc=False):
    """Send a close frame to the client and end what is behind.

    `at_once`: rights were taken away, so that an unfinished message of the client must never be completed.
    """

    code: int
    reason: str
    at_once: bool = False


class Abort(msgspec.Struct, frozen=True, gc=False):
    """Cut the transport."""


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Call `Machine.wake` at this time (seconds since the epoch), and at no earlier one that was asked for."""

    when: float


class Tell(msgspec.Struct, frozen=True, gc=False):
    """Publish an event."""

    event: Event


Command = Accept | Refuse | Verify | Connect | Send | Deliver | Pause | Close | Abort | WakeAt | Tell
