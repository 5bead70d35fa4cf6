"""What is done in another way on one of the ways to the echo, and why. The tests ask this instead of skipping."""

from tests.attacks.wire import BINARY, PING, PONG, TEXT
from tests.rfc6455.peer import wide

__all__ = ["ANSWERS_WITHIN", "BECOMES", "TAKEN", "WIDE"]

WIDE: dict[str, bytes] = {
    "length-126-of-0": wide(b"", BINARY, 2),
    "length-126-of-125": wide(b"x" * 125, BINARY, 2),
    "length-127-of-5": wide(b"hello", TEXT, 8),
    "length-127-of-126": wide(b"x" * 126, BINARY, 8),
    "length-127-of-65535": wide(b"x" * 65_535, BINARY, 8),
    "ping-with-wide-length": wide(b"", PING, 2),
}
"""Frames whose length is not written in the fewest octets (section 5.2)."""

TAKEN: dict[str, int] = {
    "length-126-of-0": BINARY,
    "length-126-of-125": BINARY,
    "length-127-of-5": TEXT,
    "length-127-of-126": BINARY,
    "length-127-of-65535": BINARY,
    "ping-with-wide-length": PONG,
}
"""Which of them the backend takes when it is reached directly, with the opcode of its answer: it reads a length however
it is written. The gateway refuses all of them, so that no two parsers ever read one frame differently."""

ANSWERS_WITHIN: dict[str, list[int]] = {"speaking": [1000, 1002]}
"""How a close frame between two fragments is answered. Elsewhere it is 1002, as the backend misses the message's end.
Of a client that speaks wsauth a message that could be for us is kept back: the backend may not know that it began."""

BECOMES = {1014: 1011}
"""What an upstream's code is to the client: some libraries take 1014 for an error (`core/protocol/wire.sendable`)."""
