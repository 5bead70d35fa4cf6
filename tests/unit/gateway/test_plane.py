"""The plane calls handlers, survives their faults, and its timeouts come in order."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from select import EPOLLIN, EPOLLOUT
from time import monotonic

import pytest

from tests.unit.gateway.faces import pair
from tests.unit.gateway.ground import eventually
from wsauth.gateway.plane import Plane, Timeouts


class Reader:
    """Be a handler that reads, and fails when it reads `fail`.

    Attributes:
        read: what it read.
        failures: how often it was told that it failed.
    """

    def __init__(self, plane: Plane, connection: socket.socket) -> None:
        self.read: list[bytes] = []
        self.failures = 0
        self._plane = plane
        self.connection = connection

    def ready(self, _: int) -> None:
        """Read."""
        data = self.connection.recv(100)
        self.read.append(data)
        if data == b"fail":
            raise RuntimeError("the test says so")

    def failed(self) -> None:
        """Close."""
        self.failures += 1
        self._plane.close(self.connection)


class Stubborn(Reader):
    """Be a handler that cannot even fail."""

    def failed(self) -> None:
        """Fail again."""
        super().failed()
        raise RuntimeError("and again")


@pytest.fixture
async def plane(anyio_backend: str) -> AsyncGenerator[Plane]:
    """Run a plane."""
    made = Plane()
    made.start()
    yield made
    made.stop()


def test_timeouts_come_in_order() -> None:
    """Those that waited longest come first; those that were taken out, and the young ones, do not."""
    late: list[str] = []
    timeouts = Timeouts(10.0, late.append)
    began = monotonic()
    for what in "abcd":
        timeouts.add(what)
    timeouts.discard("b")
    timeouts.discard("never there")
    timeouts.sweep(began + 5)
    assert (late, len(timeouts)) == ([], 3)
    timeouts.sweep(began + 11)
    assert (late, len(timeouts)) == (["a", "c", "d"], 0)
    timeouts.sweep(began + 50)
    assert late == ["a", "c", "d"]


def test_the_time_of_what_waits_is_not_moved() -> None:
    """Adding again what waits already gives it no more time; adding it anew later does."""
    late: list[str] = []
    timeouts = Timeouts(0.0, late.append)
    timeouts.add("a")
    timeouts.add("a")
    assert len(timeouts) == 1
    timeouts.sweep(monotonic())
    timeouts.add("a")
    timeouts.sweep(monotonic())
    assert late == ["a", "a"]


def test_a_timeout_that_fails_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """An error in one is logged, and the next one is called, also one that is added meanwhile."""
    late: list[str] = []

    def call(what: str) -> None:
        late.append(what)
        if what == "a":
            timeouts.add("later")
            raise RuntimeError("the test says so")

    timeouts = Timeouts(0.0, call)
    timeouts.add("a")
    timeouts.add("b")
    timeouts.sweep(monotonic() + 1)
    assert late == ["a", "b", "later"]
    assert "a timeout failed" in caplog.text


async def test_timeouts_are_swept(plane: Plane) -> None:
    """The plane itself calls back, about when it should."""
    late: list[str] = []
    timeouts = plane.timeouts(0.1, late.append)
    timeouts.add("a")
    began = monotonic()
    await eventually(lambda: bool(late))
    assert 0.1 <= monotonic() - began < 1.0


async def test_handlers_are_called(plane: Plane) -> None:
    """A handler hears of its descriptor, until it is another's, or forgotten."""
    one, two = pair()
    first, second = Reader(plane, two), Reader(plane, two)
    plane.add(two.fileno(), first, EPOLLIN)
    one.send(b"first")
    await eventually(lambda: first.read == [b"first"])
    plane.replace(two.fileno(), second)
    one.send(b"second")
    await eventually(lambda: second.read == [b"second"])
    plane.modify(two.fileno(), 0)
    one.send(b"third")
    await asyncio.sleep(0.05)
    assert second.read == [b"second"]
    plane.replace(two.fileno(), first, EPOLLIN)
    await eventually(lambda: first.read == [b"first", b"third"])
    plane.forget(two.fileno())
    plane.forget(two.fileno())
    one.send(b"fourth")
    await asyncio.sleep(0.05)
    assert first.read == [b"first", b"third"]
    one.close()
    two.close()


async def test_a_handler_that_raises_is_cut_alone(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    """A fault is logged once and cuts its own connection; all others in the same look are served."""
    ends = [pair() for _ in range(5)]
    handlers = [(Stubborn if at == 1 else Reader)(plane, near) for at, (_, near) in enumerate(ends)]
    for handler in handlers:
        plane.add(handler.connection.fileno(), handler, EPOLLIN)
    for at, (far, _) in enumerate(ends):
        far.send(b"fail" if at in (1, 3) else b"fine")
    await eventually(lambda: all(handler.read for handler in handlers))
    assert [handler.failures for handler in handlers] == [0, 1, 0, 1, 0]
    assert caplog.text.count("a connection failed") == 2
    assert ends[3][0].recv(10) == b""
    ends[4][0].send(b"still there")
    await eventually(lambda: handlers[4].read == [b"fine", b"still there"])
    for far, near in ends:
        plane.close(near)
        far.close()


async def test_whoever_was_just_given_a_failing_connection_is_told_too(plane: Plane) -> None:
    """A handler that hands over and then raises: both are told, so that nobody keeps the descriptor."""
    one, two = pair()
    heir = Reader(plane, two)

    class Giver(Reader):
        """Be a handler that gives its connection away, and raises."""

        def ready(self, events: int) -> None:
            """Give it away."""
            plane.replace(two.fileno(), heir)
            super().ready(events)

        def failed(self) -> None:
            """Do nothing: it is not ours any more."""
            self.failures += 1

    giver = Giver(plane, two)
    plane.add(two.fileno(), giver, EPOLLIN)
    one.send(b"fail")
    await eventually(lambda: bool(giver.failures))
    assert (giver.failures, heir.failures) == (1, 1)
    assert one.recv(10) == b""
    one.close()


async def test_events_of_a_closed_descriptor_are_nobodys(plane: Plane) -> None:
    """An event that was found before its descriptor was closed in the same look calls nobody."""
    ends = [pair() for _ in range(2)]

    class Closer(Reader):
        """Be a handler that closes both connections."""

        def ready(self, _: int) -> None:
            """Close."""
            self.read.append(b"")
            for _far, near in ends:
                plane.close(near)

    handlers = [Closer(plane, near) for _, near in ends]
    for handler in handlers:
        plane.add(handler.connection.fileno(), handler, EPOLLIN)
    for far, _ in ends:
        far.send(b"x")
    await eventually(lambda: any(handler.read for handler in handlers))
    await asyncio.sleep(0.05)
    assert sum(len(handler.read) for handler in handlers) == 1
    assert all(handler.failures == 0 for handler in handlers)
    for far, _ in ends:
        far.close()


async def test_a_busy_plane_lets_the_loop_have_its_turn(plane: Plane) -> None:
    """Handlers that always have something to do do not keep the loop from everything else."""
    ends = [pair() for _ in range(100)]

    class Writable(Reader):
        """Be a handler that is always ready."""

        def ready(self, _: int) -> None:
            """Count."""
            self.read.append(b"")

    handlers = [Writable(plane, near) for _, near in ends]
    for handler in handlers:
        plane.add(handler.connection.fileno(), handler, EPOLLOUT)
    for _turn in range(5):
        async with asyncio.timeout(1):
            await asyncio.sleep(0)
    await eventually(lambda: all(handler.read for handler in handlers))
    for far, near in ends:
        plane.close(near)
        far.close()


async def test_resetting_and_shutting_down(plane: Plane) -> None:
    """`reset` is seen as a reset, `shut_down` as an end, and both are harmless on what is gone."""
    one, two = pair()
    plane.shut_down(two)
    assert one.recv(10) == b""
    plane.reset(two)
    plane.shut_down(two)
    plane.reset(two)
    one.close()
    three, four = pair()
    plane.reset(four)
    with pytest.raises(ConnectionResetError):
        three.recv(10)
    three.close()


async def test_who_is_gone_is_known(plane: Plane) -> None:
    """A connection whose peer only wrote its end is not gone; one that was reset is."""
    one, two = pair()
    assert not plane.is_gone(two.fileno())
    one.shutdown(socket.SHUT_WR)
    assert not plane.is_gone(two.fileno())
    plane.reset(one)
    assert plane.is_gone(two.fileno())
    number = two.fileno()
    two.close()
    assert plane.is_gone(number)


async def test_stopping_cuts_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is still there when the plane stops is told, also behind one that fails; nothing is called after it."""
    plane = Plane()
    plane.start()
    late: list[str] = []
    plane.timeouts(0.0, late.append).add("never")
    ends = [pair() for _ in range(2)]
    handlers = [Stubborn(plane, ends[0][1]), Reader(plane, ends[1][1])]
    for handler in handlers:
        plane.add(handler.connection.fileno(), handler, EPOLLIN)
    plane.stop()
    assert [handler.failures for handler in handlers] == [1, 1]
    await asyncio.sleep(0.4)
    assert late == []
    for far, _ in ends:
        far.close()


def test_a_plane_that_never_started_can_stop() -> None:
    """`stop` undoes what there is."""
    plane = Plane()
    plane.stop()
    with pytest.raises(ValueError, match="closed epoll"):
        plane.modify(0, EPOLLIN)
