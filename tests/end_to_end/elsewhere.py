"""Another machine, as far as TCP can tell: a network of its own, joined to ours by a cable that can be pulled."""

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

__all__ = ["Elsewhere", "elsewhere"]

T = TypeVar("T")
_NEWNET = 0x40000000


@dataclass(frozen=True)
class Elsewhere:
    """Be the other machine.

    Attributes:
        name: of its network.
        here: our address on the cable.
        there: its address.
    """

    name: str
    here: str
    there: str

    def do(self, made: Callable[[], T]) -> T:
        """Do something there; a socket belongs to the network that its thread was in when it was made."""
        with ThreadPoolExecutor(1) as traveller:
            return traveller.submit(self._go_and, made).result()

    def _go_and(self, made: Callable[[], T]) -> T:
        network = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(network, _NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(network)
        return made()

    def dialled(self, port: int) -> socket.socket:
        """Return a connection from there to a port of ours."""
        return self.do(lambda: socket.create_connection((self.here, port)))

    def listening(self) -> socket.socket:
        """Return a socket that listens there."""
        return self.do(lambda: socket.create_server((self.there, 0)))

    def cut(self) -> None:
        """Pull the cable: whatever is sent is lost, and nobody is told."""
        _ip("-n", self.name, "link", "set", "there", "down")


@contextmanager
def elsewhere() -> Generator[Elsewhere]:
    """Have another machine until the block ends; the test is skipped where this one cannot play it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network of its own takes root and ip: apt-get install iproute2")
    name = f"wsauth{os.getpid()}"
    third = os.getpid() % 250
    found = Elsewhere(name, f"10.213.{third}.1", f"10.213.{third}.2")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "there", "netns", name)
        _ip("addr", "add", f"{found.here}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "addr", "add", f"{found.there}/30", "dev", "there")
        _ip("-n", name, "link", "set", "there", "up")
        yield found
    finally:
        _ip("netns", "del", name)
        if Path(f"/sys/class/net/{name}").exists():
            _ip("link", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
