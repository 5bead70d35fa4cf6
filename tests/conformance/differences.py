"""What differs between the servers, and why. The tests ask this table instead of skipping anything."""

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "Difference"]


@dataclass(frozen=True)
class Difference:
    """Say what one server cannot do, or does in its own way.

    Attributes:
        denies: refuses a handshake with the HTTP response it is told to. Where it cannot, the refusal is accepted
            and closed; where that would show a page what it must not see, it is a bare 403.
        headers: sends the headers that come with the application's accept.
        checks: refuses some malformed handshakes itself, with a bare 400, before wsauth sees them.
        broken: HTTP status for an application that raises before it accepts.
        codes: tells the application the client's close code; else 1006.
        cuts: lets TCP be cut while a close frame cannot be written. Elsewhere the server's own limits decide.
    """

    denies: bool = True
    headers: bool = True
    checks: bool = False
    broken: int = 500
    codes: bool = True
    cuts: bool = False


DIFFERENCES = {
    # The reference: shows its transport, wakes a pending receive().
    "uvicorn-sansio": Difference(cuts=True),
    "uvicorn-wsproto": Difference(cuts=True),
    # Its transport cannot be reached from ASGI, and it forgets the client's close code.
    "hypercorn": Difference(codes=False),
    # Written in Rust: the same, and an application that breaks is a 403. Takes no headers from the accept.
    "granian": Difference(headers=False),
    # Does not know the extension websocket.http.response, takes no headers from the accept, and autobahn below it
    # refuses an empty Origin and the same subprotocol twice.
    "daphne": Difference(denies=False, headers=False, checks=True),
}
