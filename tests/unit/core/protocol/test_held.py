"""Messages that wait."""

import pytest

from wsauth.core.protocol.commands import Message
from wsauth.core.protocol.held import Held, size


@pytest.mark.parametrize(
    ("message", "expected"),
    [("", 0), ("abc", 3), (b"abc", 3), ("é", 2), ("漢", 3), ("😀", 4), ("\ud800", 3)],
)
def test_a_message_is_as_large_as_on_the_wire(message: Message, expected: int) -> None:
    """Text counts in UTF-8, and half a surrogate pair does not raise."""
    assert size(message) == expected


def test_messages_come_out_in_the_order_they_went_in() -> None:
    """The first in is the first out, text and binary alike."""
    held = Held()
    for message in ("one", b"two", "three"):
        held.add(message)
    assert len(held) == 3
    assert [held.take() for _ in range(3)] == ["one", b"two", "three"]
    assert not held


def test_reading_stops_over_sixteen_kibibytes() -> None:
    """Exactly 16 KiB may wait; one byte more is full, until something is taken."""
    held = Held()
    held.add("x" * 16_384)
    fullness = [held.full]
    held.add("é")
    fullness.append(held.full)
    held.take()
    assert [*fullness, held.full] == [False, True, False]
