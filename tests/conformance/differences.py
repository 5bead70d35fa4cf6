"""What differs between the servers, and why. The tests ask this table instead of skipping anything."""

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "Difference"]


@dataclass(frozen=True)
class Difference:
    """Say what one server cannot do, or does in its own way.

    Attributes:
        denies: refuses a handshake with the HTTP response it is told to. Where it cannot, the refusal is accepted
            and closed; where that would show a page what it must not see, it is a bare 403.
        reasons: sends the close reason.
        cuts: lets TCP be cut while a close frame cannot be written. Elsewhere the server's own limits decide.
    """

    denies: bool = True
    reasons: bool = True
    cuts: bool = False


DIFFERENCES = {
    # The reference: shows its transport, wakes a pending receive().
    "uvicorn-sansio": Difference(cuts=True),
    "uvicorn-wsproto": Difference(cuts=True),
    # Its transport cannot be reached from ASGI.
    "hypercorn": Difference(),
    # Written in Rust: the same.
    "granian": Difference(),
    # Does not know the extension websocket.http.response, and its close() takes no reason.
    "daphne": Difference(denies=False, reasons=False),
}
