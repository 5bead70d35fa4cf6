"""What a service manager hears, on a real datagram socket."""

import logging
import socket
import sys
import time
from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from secrets import token_hex

import pytest

from wsauth.serve.notify import ServiceManager


class Manager:
    """Be a service manager that listens at an address.

    Attributes:
        address: what it puts into `NOTIFY_SOCKET`.
    """

    def __init__(self, listener: socket.socket, address: str) -> None:
        self.listener = listener
        self.address = address

    def heard(self) -> list[str]:
        """Return the lines of the oldest message, or none where nothing has come."""
        try:
            return self.listener.recv(65_536, socket.MSG_DONTWAIT).decode().split("\n")
        except BlockingIOError:
            return []


@pytest.fixture(
    params=["path", pytest.param("abstract", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux only"))]
)
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Manager]:
    """Listen at a path, and at an abstract address."""
    name = f"wsauth-{token_hex(8)}"
    path, address = (f"\0{name}", f"@{name}") if request.param == "abstract" else 2 * (str(tmp_path / "notify"),)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(path)
        yield Manager(listener, address)


def test_the_manager_hears_ready_with_a_status(manager: Manager) -> None:
    """One datagram, one assignment a line (sd_notify(3))."""
    ServiceManager(manager.address).ready("2 processes")
    assert manager.heard() == ["READY=1", "STATUS=2 processes"]
    assert manager.heard() == []


def test_a_status_stays_one_line(manager: Manager) -> None:
    """Text with a line's end makes no assignment of its own, and an empty one makes no message."""
    speaker = ServiceManager(manager.address)
    speaker.status("draining\nMAINPID=1")
    assert manager.heard() == ["STATUS=draining MAINPID=1"]
    speaker.status(" \n ")
    assert manager.heard() == []
    speaker.ready()
    assert manager.heard() == ["READY=1"]


def test_stopping_asks_for_the_time_it_takes(manager: Manager) -> None:
    """In microseconds, so that `TimeoutStopSec=` need not know `drain_timeout`."""
    ServiceManager(manager.address).stopping(45.5, "draining")
    assert manager.heard() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=45500000", "STATUS=draining"]


def test_reloading_says_since_when(manager: Manager) -> None:
    """CLOCK_MONOTONIC in microseconds, which `Type=notify-reload` compares with the time of its signal."""
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    ServiceManager(manager.address).reloading()
    after = time.clock_gettime(time.CLOCK_MONOTONIC)
    first, second = manager.heard()
    name, _, value = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before - 1e-6 <= int(value) / 1e6 <= after


def test_the_variable_is_taken_out_of_the_environment(manager: Manager) -> None:
    """What the server starts finds no address there and cannot speak for it."""
    environ = {"NOTIFY_SOCKET": manager.address, "HOME": "/"}
    speaker = ServiceManager.taken(environ)
    assert environ == {"HOME": "/"}
    speaker.ready()
    assert manager.heard() == ["READY=1"]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_nobody_is_told_where_nobody_listens(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable not even a socket is made."""
    monkeypatch.setattr(socket, "socket", None)
    ServiceManager.taken(environ).ready("accepting")


@pytest.mark.parametrize("address", ["/nowhere/notify", "@nobody-listens-here", "/" + "x" * 200])
def test_an_address_that_nobody_has_is_no_failure(address: str) -> None:
    """Each call returns, whatever the kernel says."""
    speaker = ServiceManager(address)
    speaker.ready()
    speaker.reloading()
    speaker.status("here")
    speaker.stopping(1)


def test_a_manager_that_does_not_read_holds_nobody_up_for_long(manager: Manager) -> None:
    """When its queue is full, what is said is lost after half a second, and the server goes on."""
    speaker = ServiceManager(manager.address)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as flood:
        flood.setblocking(False)
        address = f"\0{manager.address[1:]}" if manager.address.startswith("@") else manager.address
        with suppress(BlockingIOError):
            while True:
                flood.sendto(b"X=1", address)
    began = time.monotonic()
    speaker.status("lost")
    assert 0.4 < time.monotonic() - began < 3
    assert manager.heard() == ["X=1"]


def test_an_address_of_another_kind_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """`vsock:` is for virtual machines; one line names the variable, and nothing else happens."""
    with caplog.at_level(logging.WARNING, "wsauth"):
        ServiceManager("vsock:2:1234").ready()
    (record,) = caplog.records
    assert record.getMessage().startswith("NOTIFY_SOCKET is neither a path nor @NAME")
