"""What differs between the servers and the gateway, and why. The tests ask this table instead of skipping anything."""

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "STAYS", "Difference"]

CUT = (0, 1, True)
SENT = (1, 0, True)
STAYS = (0, 0, False)


@dataclass(frozen=True)
class Difference:
    """Say what one of them cannot do, or does in its own way.

    Attributes:
        denies: refuses a handshake with the HTTP response it is told to. Where it cannot, the refusal is accepted
            and closed; where that would show a page what it must not see, it is a bare 403.
        headers: sends the headers that come with the application's accept.
        checks: refuses some malformed handshakes itself, with a bare 400, before wsauth sees them.
        broken: HTTP status for an application that raises before it accepts.
        heads: what answers handshakes with a header of 9 kB and of 70 kB: `401` is wsauth's, `431` the server's own,
            `101` an accepted refusal, `0` the end of TCP, and `None` nothing at all.
        codes: tells the application the client's close code; else 1006.
        lifespan: tells the application that it starts and stops; else the guard starts at first use.
        stuck: what a revocation reports (closed, cut, complete) of a client that does not read: `CUT`; `SENT`, since
            the server takes everything and ends TCP itself; `STAYS` until the client reads or TCP is gone.
        upstream: the application stands behind, as an upstream. It is asked before anybody hears `auth_success`, and
            its own no becomes one of wsauth's: 401 and 403 are what they are, anything else says that it is not there.
        resets: resets TCP a second after its close frame unless the client has answered it.
    """

    denies: bool = True
    headers: bool = True
    checks: bool = False
    broken: int = 500
    heads: tuple[int | None, int | None] = (401, 401)
    codes: bool = True
    lifespan: bool = True
    stuck: tuple[int, int, bool] = STAYS
    upstream: bool = False
    resets: bool = False

    def failed(self, code: str, close: int) -> tuple[str, int]:
        """Return code and close code of an application's no that is neither 401 nor 403, in-band."""
        return ("upstream_unavailable", 1013) if self.upstream and code == "unavailable" else (code, close)


DIFFERENCES = {
    # Shows its transport. Its websockets gives up on a header line over 8 KiB, and nobody answers or ends TCP.
    "uvicorn-sansio": Difference(stuck=CUT, heads=(None, None)),
    # Shows its transport.
    "uvicorn-wsproto": Difference(stuck=CUT),
    # Its transport cannot be reached from ASGI, and it forgets the client's close code.
    "hypercorn": Difference(codes=False, heads=(401, 431)),
    # Written in Rust: the same, and an application that breaks is a 403. Takes no headers from the accept.
    "granian": Difference(headers=False, broken=403),
    # Does not know the extension websocket.http.response nor the lifespan, takes no headers from the accept, and
    # autobahn below it refuses an empty Origin and the same subprotocol twice, and resets TCP a second after its close
    # frame unless the client has answered: a busy client may not have read it.
    "daphne": Difference(
        denies=False, headers=False, checks=True, heads=(101, 0), lifespan=False, stuck=SENT, resets=True
    ),
    # Not ASGI: a front of its own reads the heads, with at most 8 KiB in a line, and the application is an upstream on
    # a Unix socket.
    "gateway": Difference(broken=502, heads=(431, 431), lifespan=False, stuck=CUT, upstream=True),
}
