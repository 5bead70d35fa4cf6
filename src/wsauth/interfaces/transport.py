"""Carrying out what a connection's machine decides. One for each host: the ASGI middleware, the gateway."""

from typing import Literal, Protocol

from wsauth.core.protocol.commands import Message, Verify
from wsauth.core.refusals import Refusal

__all__ = ["Transport"]


class Transport(Protocol):
    """Carry out commands, in the order they come, without waiting; each is a command of the machine."""

    def accept(self, subprotocol: str) -> None:
        """Answer the handshake with 101 and this subprotocol; empty for none."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP refusal."""

    def verify(self, question: Verify) -> None:
        """Have `Connection.verify(question)` awaited."""

    def connect(self) -> None:
        """Run the application, or open the upstream; then `Connection.connected`."""

    def send_control(self, text: str) -> None:
        """Send a control message to the client, between two messages."""

    def deliver(self, message: Message) -> None:
        """Pass a client's message on."""

    def pause(self, side: Literal["client", "upstream"], paused: bool) -> None:
        """Stop or go on reading from one side."""

    def close(self, code: int, reason: str, *, at_once: bool = False) -> None:
        """Send a close frame and end what is behind; then `Connection.ended`.

        `at_once`: of the client nothing more is passed on but the rest of a frame already begun.
        """

    def abort(self) -> None:
        """Cut the transport; then `Connection.ended`."""

    def bytes_received(self) -> int | None:
        """Return how many bytes the client has sent, as the kernel counts; `None` where it cannot be asked."""
