"""Two ends joined over real sockets, and over transports: bytes keep their order, and never more than a read waits."""

import gc
import random
import socket
from collections.abc import Generator
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from types import ModuleType
from typing import Any

import pytest

from tests.attacks.wire import frame
from tests.rfc6455.peer import CLOSE, CONTINUATION, PING, wide
from tests.unit.gateway.faces import FakeTransport, HandPlane, Notes, pair

LIMIT = 1 << 20
MANY = 4_000_000
"""Bytes that no kernel holds in the buffers of `pair`."""
READ_SIZE = 65_536
TURNS = 10_000


class Joined:
    """Be two legs that are joined, and the peers at their other ends.

    Attributes:
        browser: the client's socket.
        backend: the upstream's.
        client: the leg to the client.
        up: the leg to the upstream.
    """

    def __init__(self, splice: ModuleType) -> None:
        self.plane = HandPlane()
        self.notes = Notes()
        self.browser, near = pair()
        self.backend, far = pair()
        self.client: Any = splice.SocketLeg(self.notes, self.plane, near, True, LIMIT)
        self.up: Any = splice.SocketLeg(self.notes, self.plane, far, False, 1 << 62)
        self.client.other, self.up.other = self.up, self.client
        self.client.direct = self.up.direct = True
        for leg in (self.client, self.up):
            leg.watch(False)
        for peer in (self.browser, self.backend):
            peer.settimeout(5)

    def end(self) -> None:
        """Close everything."""
        for leg in (self.client, self.up):
            leg.abort()
            leg.let_go()
        self.browser.close()
        self.backend.close()
        self.plane.end()


@pytest.fixture
def joined(splice: ModuleType) -> Generator[Joined]:
    """Join two ends."""
    made = Joined(splice)
    yield made
    made.end()


def read_all(peer: socket.socket, size: int, plane: HandPlane) -> bytes:
    """Read so many bytes while the plane turns."""
    found = b""
    peer.setblocking(False)
    for _ in range(TURNS):
        try:
            found += peer.recv(65_536)
        except BlockingIOError:
            plane.turn()
        if len(found) >= size:
            return found
    raise AssertionError(f"{len(found)} of {size} bytes came")


def stuff(peer: socket.socket, data: bytes, plane: HandPlane) -> int:
    """Write until nobody takes any more, and return how many bytes were taken."""
    peer.setblocking(False)
    sent, still = 0, 0
    while sent < len(data) and still < 50:
        try:
            sent += peer.send(data[sent:])
            still = 0
        except BlockingIOError:
            still += 0 if plane.turn() else 1
    return sent


def test_bytes_pass_both_ways(joined: Joined) -> None:
    """What one peer writes the other reads, as it came."""
    up, down = frame("up"), frame("down", masked=False)
    joined.browser.send(up)
    joined.backend.send(down)
    joined.plane.turn(3)
    assert joined.backend.recv(100) == up
    assert joined.browser.recv(100) == down
    assert joined.notes.told == []


@pytest.mark.parametrize("way", ["up", "down"])
def test_whoever_does_not_read_holds_the_other_back(joined: Joined, way: str) -> None:
    """A peer that does not read stops the reading from the other at no more than one read; then all comes in order."""
    writer, reader = (joined.browser, joined.backend) if way == "up" else (joined.backend, joined.browser)
    source, sink = (joined.client, joined.up) if way == "up" else (joined.up, joined.client)
    one = frame(random.randbytes(1_000), masked=way == "up")
    data = one * (MANY // len(one))
    sent = stuff(writer, data, joined.plane)
    assert sent < len(data)
    assert 0 < sink.waiting <= READ_SIZE
    assert joined.plane.watched[source.fd] == 0
    assert joined.plane.watched[sink.fd] == EPOLLIN | EPOLLOUT
    read_so_far = read_all(reader, sent, joined.plane)
    assert read_so_far == data[:sent]
    assert sink.waiting == 0
    assert joined.plane.watched == {source.fd: EPOLLIN, sink.fd: EPOLLIN}
    assert set(joined.notes.names) == {"flushed"}
    writer.setblocking(False)
    sent += writer.send(data[sent : sent + 1_000])
    assert read_all(reader, 1, joined.plane)


def test_a_blocked_way_does_not_hold_the_other_way(joined: Joined) -> None:
    """A client that does not read is still read from."""
    down = frame(bytes(1_000), masked=False)
    stuff(joined.backend, down * (MANY // len(down)), joined.plane)
    assert joined.client.waiting
    joined.browser.send(up := frame("still here"))
    joined.plane.turn(3)
    assert joined.backend.recv(100) == up


def test_what_is_written_behind_waiting_bytes_comes_behind_them(joined: Joined) -> None:
    """The order of writes is kept when the first did not find room."""
    joined.client.write(b"a" * MANY)
    assert 0 < joined.client.waiting < MANY
    joined.client.write(b"b" * 1_000)
    found = read_all(joined.browser, MANY + 1_000, joined.plane)
    assert found == b"a" * MANY + b"b" * 1_000


def test_both_reasons_for_not_reading_count(joined: Joined) -> None:
    """A leg is read only when neither the link holds it nor the other end is full."""
    watched, client = joined.plane.watched, joined.client
    client.hold(True)
    client.block(True)
    client.block(False)
    assert watched[client.fd] == 0
    client.hold(False)
    assert watched[client.fd] == EPOLLIN
    client.block(True)
    client.hold(True)
    client.hold(False)
    assert watched[client.fd] == 0


def test_a_held_end_that_is_reset_is_told(joined: Joined) -> None:
    """A peer that resets TCP while nothing is read from it is told of at once."""
    joined.client.hold(True)
    joined.plane.reset(joined.browser)
    joined.plane.turn(2)
    assert joined.notes.told == [("lost", joined.client)]
    assert joined.plane.turn() == 0


def test_a_held_end_that_only_wrote_its_end_is_told_when_it_is_read(joined: Joined) -> None:
    """FIN from a peer that is held is nothing yet; what came before it passes first."""
    joined.client.hold(True)
    joined.browser.send(last := frame("last"))
    joined.browser.shutdown(socket.SHUT_WR)
    assert joined.plane.turn(3) == 0
    joined.client.hold(False)
    joined.plane.turn(3)
    assert joined.backend.recv(100) == last
    assert joined.notes.told == [("ended", joined.client)]


@pytest.mark.parametrize("events", [EPOLLIN, EPOLLHUP, EPOLLERR, EPOLLIN | EPOLLHUP, EPOLLOUT])
@pytest.mark.parametrize("held", [True, False])
def test_stale_events_are_nothing(joined: Joined, events: int, held: bool) -> None:
    """An event of an earlier socket with the same number changes nothing."""
    joined.client.hold(held)
    joined.client.ready(events)
    assert joined.notes.told == []
    assert joined.client.open


def test_a_reset_while_reading_is_told(joined: Joined) -> None:
    """A peer that resets TCP is told of once."""
    joined.plane.reset(joined.browser)
    joined.plane.turn(3)
    assert joined.notes.told == [("lost", joined.client)]


def test_a_reset_while_bytes_wait_is_told(joined: Joined) -> None:
    """A peer that resets TCP while it is written to is told of once, and what waited is dropped."""
    joined.client.write(b"x" * MANY)
    joined.plane.reset(joined.browser)
    joined.plane.turn(3)
    assert joined.notes.told == [("lost", joined.client)]
    assert joined.client.waiting == 0


def test_writing_to_who_is_gone_is_told_by_the_plane(joined: Joined) -> None:
    """A write that fails calls nobody back: the link may be in the middle of something."""
    joined.plane.reset(joined.browser)
    joined.client.write(b"x")
    joined.client.write(b"x")
    assert joined.notes.told == []
    joined.plane.turn(3)
    assert joined.notes.names[-1] == "lost"


def test_a_closed_leg_does_nothing(joined: Joined) -> None:
    """After `close` nothing is written, read or told, and closing again is harmless."""
    joined.client.close()
    assert joined.browser.recv(10) == b""
    for act in (joined.client.close, joined.client.abort, joined.client.finish):
        act()
    joined.client.write(b"x")
    joined.client.hold(True)
    joined.client.ready(EPOLLIN)
    assert joined.notes.told == []
    assert not joined.client.open
    assert joined.client.waiting == 0
    assert joined.plane.watched == {joined.up.fd: EPOLLIN}


def test_aborting_sends_a_reset(joined: Joined) -> None:
    """`abort` drops what waits, and the peer sees a reset."""
    joined.client.write(b"x" * MANY)
    joined.client.abort()
    with pytest.raises(ConnectionResetError):
        read_all(joined.browser, MANY, joined.plane)


def test_finishing_leaves_the_other_way_open(joined: Joined) -> None:
    """`finish` sends FIN, and what the peer writes still passes."""
    joined.client.finish()
    assert joined.browser.recv(10) == b""
    joined.browser.send(late := frame("late"))
    joined.plane.turn(3)
    assert joined.backend.recv(100) == late


def test_a_detached_socket_stays_open(joined: Joined) -> None:
    """`detach` gives the socket away, watched by nobody."""
    given = joined.client.detach()
    assert joined.client.fd not in joined.plane.watched
    joined.client.close()
    given.send(b"still open")
    assert joined.browser.recv(100) == b"still open"
    given.close()


def test_what_waited_before_the_watch_is_written(splice: ModuleType) -> None:
    """A leg that was written to before the plane had it goes on writing when it has."""
    plane, notes = HandPlane(), Notes()
    peer, near = pair()
    leg = splice.SocketLeg(notes, plane, near, True, LIMIT)
    assert not leg.watching
    leg.write(b"x" * MANY)
    leg.watch(False)
    assert leg.watching
    assert read_all(peer, MANY, plane) == b"x" * MANY
    leg.abort()
    peer.close()
    plane.end()


def test_a_handler_is_taken_over(splice: ModuleType) -> None:
    """A leg takes over a descriptor that the plane has already, held or not."""
    plane, notes = HandPlane(), Notes()
    peer, near = pair()
    plane.add(near.fileno(), splice.SocketLeg(notes, plane, near, True, LIMIT), EPOLLOUT)
    leg = splice.SocketLeg(notes, plane, near, True, LIMIT)
    leg.hold(True)
    leg.watch(True)
    assert plane.watched[leg.fd] == 0
    leg.hold(False)
    peer.send(b"x")
    plane.turn()
    assert notes.told == [("taken", leg, b"x")]
    leg.abort()
    peer.close()
    plane.end()


# What flows, and what halts.


@pytest.mark.parametrize(
    "data",
    [frame("x"), frame("x") * 3, frame(b"x" * 300), frame("x", fin=False) + frame("y", CONTINUATION), frame(b"", PING)],
)
def test_what_keeps_the_rules_flows(joined: Joined, data: bytes) -> None:
    """Good frames reach the other end with nobody told, in one piece and byte by byte."""
    joined.client.arrived(data)
    for byte in data:
        joined.client.arrived(bytes([byte]))
    assert read_all(joined.backend, 2 * len(data), joined.plane) == data + data
    assert joined.notes.told == []


def test_a_broken_rule_halts(joined: Joined) -> None:
    """The link gets what may still pass before a broken rule."""
    good = frame("x")
    joined.client.arrived(good + frame("y", rsv=4))
    assert joined.notes.told == [("halted", joined.client, good)]
    assert joined.client.error == 1002


def test_a_close_frame_halts(joined: Joined) -> None:
    """The link gets a close frame with what came before it, and nothing behind it."""
    data = frame("x") + frame(b"\x03\xe8", CLOSE)
    joined.client.arrived(data + b"later")
    assert joined.notes.told == [("halted", joined.client, data)]
    assert joined.client.closed


@pytest.mark.parametrize("end", ["client", "up"])
def test_what_does_not_flow_is_taken(joined: Joined, end: str) -> None:
    """A leg that is not direct gives all to the link, unread."""
    leg = getattr(joined, end)
    leg.direct = False
    leg.arrived(b"\xff\xff")
    assert joined.notes.told == [("taken", leg, b"\xff\xff")]


STIRRING = {
    "a small message": ([frame("x")], True),
    "a large one": ([frame(b"x" * 300)], True),
    "the rest of a large one": ([frame(b"x" * 70_000)[:40_000], frame(b"x" * 70_000)[40_000:]], True),
    "a fragment": ([frame("x", fin=False)], True),
    "a ping": ([frame(b"x", PING)], False),
    "pings": ([frame(b"x", PING) * 30], False),
    "a ping in two pieces": ([frame(b"x" * 125, PING)[:50], frame(b"x" * 125, PING)[50:]], False),
    "a ping byte by byte": ([bytes([byte]) for byte in frame(b"x" * 9, PING)], False),
    "a message and half a ping": ([frame("x") + frame(b"x" * 125, PING)[:10]], True),
    "half a header": ([b"\x81"], False),
}


@pytest.mark.parametrize("name", STIRRING)
def test_messages_stir(joined: Joined, name: str) -> None:
    """Where the link wants to know, messages are told and pings and pongs are not, however they come."""
    pieces, stirs = STIRRING[name]
    joined.client.watched = True
    for piece in pieces:
        joined.client.arrived(piece)
    assert ("stirred" in joined.notes.names) is stirs
    assert set(joined.notes.names) <= {"stirred"}


def test_nobody_is_told_who_does_not_want_to_know(joined: Joined) -> None:
    """Without `watched` messages pass in silence."""
    joined.client.arrived(frame("x"))
    joined.client.arrived(frame(b"x" * 300))
    assert joined.notes.told == []


def test_a_handler_that_failed_is_told(joined: Joined) -> None:
    """The link hears that a handler failed, unless it has let go."""
    joined.client.failed()
    assert joined.notes.told == [("failed",)]
    joined.client.let_go()
    joined.client.failed()
    assert joined.notes.told == [("failed",)]


def test_legs_that_were_let_go_are_freed_at_once(splice: ModuleType) -> None:
    """Nothing keeps two legs alive that know each other no more; no collection is needed."""
    kind = splice.SocketLeg

    def alive() -> int:
        return sum(type(each) is kind for each in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()
    try:
        made = Joined(splice)
        made.client.course = made.client.arrived
        made.end()
        assert alive() == before + 2
        del made
        assert alive() == before
    finally:
        gc.enable()


# Transports.


class Bridged:
    """Be two legs that are transports, joined."""

    def __init__(self, splice: ModuleType) -> None:
        self.notes = Notes()
        self.browser, self.backend = FakeTransport(), FakeTransport()
        self.client: Any = splice.TransportLeg(self.notes, self.browser, True, LIMIT)
        self.up: Any = splice.TransportLeg(self.notes, self.backend, False, 1 << 62)
        self.client.other, self.up.other = self.up, self.client
        self.client.direct = self.up.direct = True
        self.browser.orders.clear()
        self.backend.orders.clear()


@pytest.fixture
def bridged(splice: ModuleType) -> Bridged:
    """Join two transports."""
    return Bridged(splice)


def test_a_transport_holds_no_more_than_a_read(splice: ModuleType) -> None:
    """The mark above which a transport tells us to wait is one read."""
    transport = FakeTransport()
    splice.TransportLeg(Notes(), transport, True, LIMIT)
    assert transport.orders == [f"limit {splice.READ_SIZE}"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_transports_pass_bytes(bridged: Bridged, kind: type) -> None:
    """What a transport brings is passed on, in whatever it is."""
    up, down = frame("up"), frame("down", masked=False)
    bridged.client.connection_made(bridged.browser)
    bridged.client.data_received(kind(up))
    bridged.up.data_received(kind(down))
    assert bridged.backend.written == up
    assert bridged.browser.written == down


def test_a_full_transport_holds_the_other_back(bridged: Bridged) -> None:
    """A transport above its mark stops the reading from the other, once, until it is below it again."""
    bridged.client.pause_writing()
    bridged.client.pause_writing()
    assert bridged.backend.orders == ["pause"]
    bridged.up.hold(True)
    bridged.client.resume_writing()
    assert bridged.backend.orders == ["pause"]
    bridged.up.hold(False)
    assert bridged.backend.orders == ["pause", "resume"]
    assert bridged.notes.told == [("flushed", bridged.client)]


def test_transports_say_what_waits(bridged: Bridged) -> None:
    """What waits is what the transport says."""
    bridged.browser.waiting = 17
    assert bridged.client.waiting == 17


def test_ends_of_transports_are_told(bridged: Bridged) -> None:
    """The end of what a peer writes, and of a transport, are told; TLS is not left half open."""
    assert bridged.client.eof_received() is False
    bridged.up.connection_lost(None)
    assert bridged.notes.told == [("ended", bridged.client), ("lost", bridged.up)]


@pytest.mark.parametrize("act", ["close", "finish", "abort"])
def test_a_closed_transport_is_told_nothing_more(bridged: Bridged, act: str) -> None:
    """After the end nothing that the transport says counts, and nothing is written."""
    getattr(bridged.client, act)()
    assert bridged.browser.orders == ["abort" if act == "abort" else "close"]
    bridged.client.data_received(frame("x"))
    bridged.client.eof_received()
    bridged.client.connection_lost(None)
    bridged.client.write(b"x")
    bridged.client.hold(True)
    for again in (bridged.client.close, bridged.client.abort, bridged.client.finish):
        again()
    assert len(bridged.browser.orders) == 1
    assert (bridged.browser.written, bridged.backend.written, bridged.notes.told) == (b"", b"", [])


def test_a_transport_without_a_link_speaks_to_nobody(splice: ModuleType) -> None:
    """A leg that was let go, or made for one last answer, does nothing when the transport speaks."""
    transport = FakeTransport()
    leg = splice.TransportLeg(None, transport, True, 0)
    leg.write(b"HTTP/1.1 421 \r\n\r\n")
    leg.pause_writing()
    leg.resume_writing()
    leg.close()
    leg.connection_lost(None)
    assert transport.written == b"HTTP/1.1 421 \r\n\r\n"


def test_what_a_leg_leaves_to_its_kind(splice: ModuleType) -> None:
    """A leg alone cannot write, close or read."""
    leg = splice.Leg(Notes(), True, LIMIT)
    for act in (leg.finish, leg.close, leg.abort, lambda: leg.write(b""), lambda: leg.waiting, lambda: leg.hold(True)):
        with pytest.raises(NotImplementedError):
            act()


def test_wide_lengths_pass_through_legs(joined: Joined) -> None:
    """A frame whose length takes eight bytes flows in pieces of a read."""
    data = wide(b"x" * 200_000, 2, 8)
    for at in range(0, len(data), 65_536):
        joined.client.arrived(data[at : at + 65_536])
    assert read_all(joined.backend, len(data), joined.plane) == data
