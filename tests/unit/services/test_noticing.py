"""What is noticed, from events and from how much clients send."""

from typing import Any, cast

import pytest

from wsauth.core import events
from wsauth.core.identity import Identity
from wsauth.services.connections.connections import Connections
from wsauth.services.events import Bus
from wsauth.services.noticing import Noticing
from wsauth.testing.clock import FakeClock

MALLORY, HONEST = "203.0.113.7", "198.51.100.9"
ALICE = Identity("alice", issuer="https://id.example", session_id="s1", token_id="t1")
MIB = 1024 * 1024


class Client:
    """Be a connection that has sent so much."""

    def __init__(self, connection_id: str = "c1", address: str = HONEST, identity: Identity | None = ALICE) -> None:
        self.id = connection_id
        self.sent: int | None = 0
        self.machine = self
        self.about = events.About(connection_id, "/ws", address, private=True)
        self.identity = identity

    def bytes_received(self) -> int | None:
        """Return what the kernel would."""
        return self.sent


class Here:
    """Be the connections of a process."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = Bus()
        self.clients: list[Client] = []
        self.noticed: list[events.Noticed] = []
        self.bus.subscribe(events.Noticed, self.noticed.append)
        self.noticing = Noticing(self.bus, cast("Connections", self))

    def all(self) -> list[Client]:
        """Return the connections."""
        return self.clients

    @property
    def what(self) -> list[str]:
        """Return what was noticed, in order."""
        return [each.what for each in self.noticed]

    def fail(self, account: str = "alice", address: str = MALLORY) -> None:
        """Have a login fail."""
        self.bus.publish(
            events.LoginFailed(
                at=self.clock.now(), account=account, subject=account, address=address, code="credentials_invalid"
            )
        )

    def connect(self, address: str, identity: Identity = ALICE, connection_id: str = "c1") -> None:
        """Have somebody connect."""
        about = events.About(connection_id, "/ws", address, private=True)
        self.bus.publish(
            events.Connected(at=self.clock.now(), about=about, identity=identity, source="header", expires_at=None)
        )

    def refuse(self, kind: type[Any], code: str, identity: Identity | None = ALICE, address: str = HONEST) -> None:
        """Have something of a connection's refused."""
        about = events.About("c1", "/ws", address, private=True)
        refused = {"code": code, "id": "AAAA", "reason": "", "mend": "", "source": ""}
        self.bus.publish(kind(at=self.clock.now(), about=about, identity=identity, **refused))


@pytest.fixture
def here() -> Here:
    """Begin with nobody."""
    return Here()


def test_a_burst_of_failures_on_one_account_is_said_once(here: Here) -> None:
    """The eleventh failure within a minute, from wherever; then not again for ten minutes."""
    for number in range(10):
        here.fail(address=f"203.0.113.{number}")
    assert here.what == []
    for _ in range(30):
        here.fail()
    assert here.what == ["login_failures"]
    assert (here.noticed[0].subject, here.noticed[0].issuer, here.noticed[0].address) == ("alice", "wsauth", MALLORY)
    here.clock.advance(601)
    for _ in range(11):
        here.fail()
    assert here.what == ["login_failures", "login_failures"]


def test_failures_one_by_one_are_no_burst(here: Here) -> None:
    """Somebody who mistypes every ten seconds for an hour is left alone."""
    for _ in range(360):
        here.fail()
        here.clock.advance(10)
    assert here.what == []


def test_one_address_that_tries_many_accounts(here: Here) -> None:
    """Eleven accounts within ten minutes are a spray; ten, or one account as often, are not."""
    for number in range(10):
        here.fail(f"user{number}")
        here.fail("honest", HONEST)
    assert here.what == []
    here.fail("user10")
    assert here.what == ["many_accounts"]
    assert here.noticed[0].address == MALLORY
    assert here.noticed[0].subject is None


def test_accounts_of_long_ago_do_not_count(here: Here) -> None:
    """An office whose people mistype now and then sprays nothing."""
    for number in range(40):
        here.fail(f"user{number}")
        here.clock.advance(100)
    assert here.what == []


def test_an_old_refresh_token_that_comes_back(here: Here) -> None:
    """Whose session it was, and from where it came, is told."""
    here.bus.publish(events.TokenReused(at=here.clock.now(), subject="alice", session_id="s1", address=MALLORY))
    assert [(each.what, each.session_id, each.address) for each in here.noticed] == [("token_reuse", "s1", MALLORY)]


@pytest.mark.parametrize(
    ("identity", "later", "address", "noticed"),
    [
        (ALICE, 9, MALLORY, True),
        (ALICE, 11, MALLORY, False),
        (ALICE, 1, HONEST, False),
        (ALICE, 1, "2001:db8::1", False),
        (Identity("alice", issuer="https://id.example"), 1, MALLORY, False),
        (ALICE.replace(session_id=None), 1, MALLORY, True),
        (ALICE.replace(token_id="t2"), 1, MALLORY, True),
    ],
    ids=["two networks", "later", "the same", "by IPv6 too", "no name of its own", "token", "the session's next token"],
)
def test_a_token_from_a_second_network_within_seconds(
    here: Here, identity: Identity, later: float, address: str, noticed: bool
) -> None:
    """Nobody is in two places; IPv4 and IPv6 are not two places."""
    here.connect(HONEST, ALICE if identity.session_id or identity.token_id else identity)
    here.clock.advance(later)
    here.connect(address, identity, "c2")
    assert [each.what for each in here.noticed] == (["second_network"] if noticed else [])
    assert {each.connection_id for each in here.noticed} <= {"c2"}


@pytest.mark.parametrize("identity", [ALICE, None], ids=["somebody", "a stranger"])
def test_malformed_and_oversized_messages_in_a_row(here: Here, identity: Identity | None) -> None:
    """Refused messages, refused handshakes and closes for them count together; eleven within a minute are too many."""
    about = events.About("c9", "/ws", HONEST, private=True)
    for _ in range(5):
        here.refuse(events.MessageRefused, "message_invalid", identity)
        here.bus.publish(
            events.Closed(
                at=here.clock.now(),
                about=about,
                identity=identity,
                code=1009,
                reason="message_too_large;id=A",
                by="wsauth",
            )
        )
    here.refuse(events.MessageRefused, "permission_denied", identity)
    here.bus.publish(
        events.Closed(at=here.clock.now(), about=about, identity=identity, code=1009, reason="big", by="application")
    )
    assert here.what == []
    here.refuse(events.HandshakeRefused, "message_too_large", identity)
    assert here.what == ["bad_messages"]
    assert here.noticed[0].subject == (identity.subject if identity else None)


async def test_a_jump_in_traffic(here: Here) -> None:
    """Said of that connection, once; who cannot be asked about is passed over, and who is gone is forgotten."""
    loud, silent, unknown = Client("c1"), Client("c2"), Client("c3")
    unknown.sent = None
    here.clients = [loud, silent, unknown]
    for _ in range(4):
        await here.noticing.look()
        loud.sent, silent.sent = (loud.sent or 0) + 100, (silent.sent or 0) + 100
    loud.sent = (loud.sent or 0) + 2 * MIB
    await here.noticing.look()
    assert [(each.what, each.connection_id, each.session_id) for each in here.noticed] == [
        ("traffic_jump", "c1", "s1"),
    ]
    here.clients = []
    await here.noticing.look()
    here.clients = [loud]
    loud.sent += 4 * MIB
    await here.noticing.look()
    assert len(here.noticed) == 1
