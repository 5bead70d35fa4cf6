"""What the log says of refusals."""

import logging

import pytest

from wsauth.core.events import About, HandshakeRefused
from wsauth.services import journal
from wsauth.services.events import Bus


def refused(bus: Bus, at: float, *, address: str = "198.51.100.1", reason: str = "its signature is wrong") -> None:
    """Tell of a refused handshake."""
    about = About("c" * 32, "/ws", address, False)
    told = {"code": "token_invalid", "id": f"id{at:010.0f}", "reason": reason, "mend": "", "source": "header"}
    bus.publish(HandshakeRefused(at=at, about=about, identity=None, **told))


@pytest.fixture
def bus(caplog: pytest.LogCaptureFixture) -> Bus:
    """Make a bus whose events are logged."""
    caplog.set_level(logging.INFO, "wsauth")
    made = Bus()
    journal.subscribe(made)
    return made


def test_equal_refusals_in_a_flood_share_a_line(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """Of ten thousand from one address by one rule the first 200 have a line, then few, with the number."""
    for _ in range(10_000):
        refused(bus, 5.0)
    lines = [record.getMessage() for record in caplog.records]
    numbers = [line.partition(" within")[0].rpartition(" ")[2] for line in lines[200:]]
    assert numbers == ["400th", "800th", "1600th", "3200th", "6400th"]


def test_another_rule_address_or_minute_has_its_own_lines(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """A flood hides nothing but itself, and only while it lasts."""
    for _ in range(250):
        refused(bus, 5.0)
    caplog.clear()
    refused(bus, 5.0, address="198.51.100.2")
    refused(bus, 5.0, reason="its issuer is unknown")
    refused(bus, 66.0)
    assert len(caplog.records) == 3
