"""Which address of an upstream is next, and for how long one is left alone."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from wsauth.errors import ConfigurationError
from wsauth.gateway import Upstream, upstreams
from wsauth.gateway.connecting import connecting, keepalive, watch_for_silence
from wsauth.gateway.upstreams import Address

A, B, C = "ws://127.0.0.1:1001", "ws://127.0.0.1:1002", "unix:/run/c.sock"


class Time:
    """Be the monotonic clock, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Stop the clock."""
    made = Time()
    monkeypatch.setattr(upstreams, "monotonic", made)
    return made


class Names:
    """Be what looks up names on this loop.

    Attributes:
        known: the addresses of every name; a name that is not there is not known.
        asked: names that were looked up, in order.
    """

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        """Look a name up."""
        self.asked.append(host)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.known[host]
        ]


@pytest.fixture
async def names(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> Names:
    """Look names up in a book of the test's."""
    made = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", made.getaddrinfo)
    return made


def urls(candidates: list[Address]) -> list[str]:
    """Return the URLs of addresses."""
    return [address.url for address in candidates]


def hosts(candidates: list[Address]) -> list[str]:
    """Return where addresses connect to."""
    return [address.place[1][0] for address in candidates]


def test_addresses_take_turns(time: Time) -> None:
    """Each handshake begins with the next address, and has all the others behind it."""
    upstream = Upstream([A, B, C])
    firsts = [urls(upstream.candidates()) for _ in range(6)]
    assert sorted(each[0] for each in firsts) == sorted([A, B, C] * 2)
    assert all(sorted(each) == sorted([A, B, C]) for each in firsts)
    assert [each[0] for each in firsts[:3]] == [each[0] for each in firsts[3:]]


def test_one_that_failed_comes_last_for_a_while(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    """An address that failed is tried behind the others for five seconds, and that is logged once."""
    upstream = Upstream([A, B, C])
    failing = next(each for each in upstream.candidates() if each.url == B)
    upstream.failed(failing, stuck=False, why="the test says so")
    upstream.failed(failing, stuck=False, why="the test says so")
    assert caplog.text.count("127.0.0.1 port 1002 was not reached: the test says so") == 1
    for _ in range(4):
        found = urls(upstream.candidates())
        assert (len(found), found[-1]) == (3, B)
    time.now += 4.9
    assert urls(upstream.candidates())[-1] == B
    time.now += 0.2
    assert B in {urls(upstream.candidates())[0] for _ in range(3)}


def test_one_that_works_again_takes_its_turn(time: Time) -> None:
    """An answer ends the rest at once."""
    upstream = Upstream([A, B])
    failing = upstream.candidates()[0]
    upstream.failed(failing, stuck=True, why="")
    upstream.works(failing)
    assert (failing.rests_until, failing.stuck) == (0.0, False)
    assert {urls(upstream.candidates())[0] for _ in range(2)} == {A, B}


def test_one_that_is_stuck_is_not_tried(time: Time) -> None:
    """An address that answered with silence costs nobody its time limit again while it rests, also if it is alone."""
    upstream, alone = Upstream([A, B]), Upstream([C])
    failing = next(each for each in upstream.candidates() if each.url == A)
    upstream.failed(failing, stuck=True, why="")
    alone.failed(alone.candidates()[0], stuck=True, why="")
    assert urls(upstream.candidates()) == urls(upstream.candidates()) == [B]
    assert alone.candidates() == []
    time.now += 5.1
    assert len(upstream.candidates()) == 2
    assert urls(alone.candidates()) == [C]


def test_the_only_one_is_tried_while_it_rests(time: Time) -> None:
    """An address that refused is tried again at once where there is no other."""
    upstream = Upstream([A])
    upstream.failed(upstream.candidates()[0], stuck=False, why="")
    assert urls(upstream.candidates()) == [A]


def test_no_address_is_no_candidate() -> None:
    """Nothing to try is an empty list."""
    assert Upstream([]).candidates() == []


async def test_every_address_of_a_name_counts(time: Time, names: Names) -> None:
    """A name with several addresses takes turns over them, and one of them rests alone."""
    names.known["behind.test"] = ["::1", "127.0.0.1"]
    upstream = Upstream(["ws://behind.test:81"])
    await upstream.start()
    assert {hosts(upstream.candidates())[0] for _ in range(2)} == {"::1", "127.0.0.1"}
    upstream.failed(next(each for each in upstream.candidates() if ":" in each.place[1][0]), stuck=False, why="")
    assert hosts(upstream.candidates()) == ["127.0.0.1", "::1"]


async def test_names_are_looked_up_again(time: Time, names: Names) -> None:
    """After 30 seconds a name is looked up while its old addresses are used, and then the new ones are."""
    names.known["behind.test"] = ["10.0.0.1"]
    upstream = Upstream(["ws://behind.test"])
    await upstream.start()
    names.known["behind.test"] = ["10.0.0.2", "10.0.0.1"]
    time.now += 29
    upstream.candidates()
    assert names.asked == ["behind.test"]
    resting = upstream.candidates()[0]
    time.now += 2
    assert hosts(upstream.candidates()) == ["10.0.0.1"]
    assert hosts(upstream.candidates()) == ["10.0.0.1"]
    await _looked_up(upstream)
    assert names.asked == ["behind.test"] * 2
    assert sorted(hosts(upstream.candidates())) == ["10.0.0.1", "10.0.0.2"]
    assert resting in upstream.candidates()


async def test_a_failure_has_the_name_looked_up(time: Time, names: Names) -> None:
    """An address that fails is a reason to look whether the name has moved, once in a second."""
    names.known["behind.test"] = ["10.0.0.1"]
    upstream = Upstream(["ws://behind.test", A])
    await upstream.start()
    failing = next(each for each in upstream.candidates() if each.url != A)
    upstream.failed(failing, stuck=False, why="")
    upstream.candidates()
    await _looked_up(upstream)
    assert names.asked == ["behind.test"]
    time.now += 1.1
    upstream.candidates()
    await _looked_up(upstream)
    assert names.asked == ["behind.test"] * 2
    assert failing.rests_until > time.now


@pytest.mark.parametrize("url", [A, C, "ws://[::1]:5"])
async def test_what_is_no_name_is_never_looked_up(time: Time, names: Names, url: str) -> None:
    """An address that stands there as it is stays so, whatever fails."""
    upstream = Upstream([url])
    await upstream.start()
    upstream.failed(upstream.candidates()[0], stuck=False, why="")
    time.now += 100
    assert urls(upstream.candidates()) == [url]
    await _looked_up(upstream)
    assert names.asked == []


async def test_a_name_that_is_not_known(time: Time, names: Names, caplog: pytest.LogCaptureFixture) -> None:
    """A name that nobody knows yet stops no start, and is looked up again every second; what was known stays."""
    upstream = Upstream(["ws://behind.test"])
    await upstream.start()
    assert "behind.test is not known" in caplog.text
    assert upstream.candidates() == []
    names.known["behind.test"] = ["10.0.0.1"]
    time.now += 1.1
    upstream.candidates()
    await _looked_up(upstream)
    assert hosts(upstream.candidates()) == ["10.0.0.1"]
    names.known.clear()
    time.now += 31
    upstream.candidates()
    await _looked_up(upstream)
    assert hosts(upstream.candidates()) == ["10.0.0.1"]


async def _looked_up(upstream: Upstream) -> None:
    if upstream._looking:
        await asyncio.wait(upstream._looking)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("ws://127.0.0.1", (socket.AF_INET, ("127.0.0.1", 80))),
        ("ws://127.0.0.1:81", (socket.AF_INET, ("127.0.0.1", 81))),
        ("ws://[::1]:82", (socket.AF_INET6, ("::1", 82))),
        ("unix:/run/a b.sock", (socket.AF_UNIX, "/run/a b.sock")),
    ],
)
def test_urls_are_read(url: str, place: tuple[int, Any]) -> None:
    """A port has its default, and a path is taken as it is."""
    assert [each.place for each in Upstream([url]).candidates()] == [place]


@pytest.mark.parametrize("url", ["http://127.0.0.1", "ws://", "127.0.0.1:80", "ws:///x", ""])
def test_urls_that_are_none_are_refused(url: str) -> None:
    """What cannot be meant is an error of the configuration."""
    with pytest.raises(ConfigurationError, match="is none: write ws://HOST:PORT"):
        Upstream([url])


def test_tls_is_made_only_where_it_is_needed(tmp_path: Path) -> None:
    """`wss://` has a context that verifies, with TLS 1.2 at least; `ws://` reads no file."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    assert Upstream([A], ca="/nowhere").tls is None
    context = Upstream(["wss://127.0.0.1"], ca=str(tmp_path / "ca.pem")).tls
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("options", [{"ca": "/nowhere"}, {"certificate": "/nowhere", "key": "/nowhere"}])
def test_files_that_cannot_be_read_are_refused(options: dict[str, str]) -> None:
    """A file that is not there is an error of the configuration."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Upstream(["wss://127.0.0.1"], **options)  # type: ignore[arg-type]  # each a text


# Connecting.


def test_connecting_does_not_wait() -> None:
    """A socket comes back at once, connected or not, without Nagle's delay."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = connecting((socket.AF_INET, listening.getsockname()))
        assert made.gettimeout() == 0 or not made.getblocking()
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)  # to itself no wire can be cut
        made.close()


def test_another_machine_is_watched_for_silence() -> None:
    """A connection to elsewhere has keep-alive: a peer that is cut off is noticed in 40 seconds (ATTACKS RX-17)."""
    with socket.socket() as made:
        watch_for_silence(made)
        for level, option, value in keepalive():
            assert made.getsockopt(level, option) == value
        idle, every, count = (getattr(socket, name) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"))
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        quiet, each, times = (made.getsockopt(socket.IPPROTO_TCP, option) for option in (idle, every, count))
        assert quiet + each * times <= 40


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    """A path without a socket fails at once, and leaves no descriptor."""
    with pytest.raises(FileNotFoundError):
        connecting((socket.AF_UNIX, str(tmp_path / "none")))


def test_a_unix_socket_whose_backlog_is_full(tmp_path: Path) -> None:
    """A server that does not accept is a failure, and not something to wait for: epoll would never tell."""
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        waiting = connecting((socket.AF_UNIX, path))
        with pytest.raises(OSError, match="its backlog is full"):
            connecting((socket.AF_UNIX, path))
        waiting.close()
