"""`wsauth serve` as processes: what it prints, who answers, what ends it, and what it takes for HTTP."""

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pytest
import trustme

from tests.attacks.wire import PATIENCE, Answer, Wire, frame, request, wire
from tests.leaks import keep
from tests.lifeline import hold, release

ROOT = Path(__file__).parents[2]
LISTENING = re.compile(r"^wsauth is listening on (https?)://127\.0\.0\.1:(\d+)$", re.MULTILINE)
ADMIN = re.compile(r"^  admin: http://127\.0\.0\.1:(\d+)$", re.MULTILINE)


class Served:
    """Be a server that was started."""

    def __init__(self, process: "subprocess.Popen[bytes]", written: IO[bytes]) -> None:
        self.process = process
        self._written = written

    @property
    def output(self) -> str:
        """Return what it wrote so far."""
        return os.pread(self._written.fileno(), 1_000_000, 0).decode()

    @property
    def port(self) -> int:
        """Return the public port."""
        return int(LISTENING.findall(self.output)[0][1])

    @property
    def admin_port(self) -> int:
        """Return the port of the admin listener."""
        return int(ADMIN.findall(self.output)[0])

    async def says(self, pattern: str) -> None:
        """Wait until it wrote this."""
        async with asyncio.timeout(PATIENCE * 2):
            while not re.search(pattern, self.output, re.MULTILINE):
                assert self.process.poll() is None, self.output
                await asyncio.sleep(0.02)

    async def ended(self, within: float = PATIENCE * 3) -> int:
        """Wait until it ended, and return its exit status."""
        async with asyncio.timeout(within):
            while (status := self.process.poll()) is None:  # noqa: ASYNC110  a process that ends sets no event
                await asyncio.sleep(0.02)
        return status


@asynccontextmanager
async def started(*keys: str, **environ: str) -> AsyncGenerator[Served]:
    """Start `wsauth serve` with these keys, on free ports where they say nothing else."""
    command = [sys.executable, "-m", "tests.apps.serving", "server.port=0", "admin.listen=127.0.0.1:0", *keys]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    with TemporaryFile() as written:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stderr=written, start_new_session=True
        )
        hold(process.pid)
        served = Served(process, written)
        try:
            yield served
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            release(process.pid)
            keep("wsauth serve", served.output)


@asynccontextmanager
async def serving(*keys: str, **environ: str) -> AsyncGenerator[Served]:
    """The same, once it accepts connections."""
    async with started(*keys, **environ) as served:
        await served.says("^wsauth is listening on ")
        yield served


@asynccontextmanager
async def wide(*keys: str) -> AsyncGenerator[tuple[Served, int]]:
    """Serve where other machines could come in, and give the port."""
    async with serving("server.host=0.0.0.0", 'server.allowed_hosts=["127.0.0.1"]', *keys) as served:
        yield served, int(re.findall(r"listening on http://0\.0\.0\.0:(\d+)", served.output)[0])


def get(path: str = "/", *lines: str, without: tuple[str, ...] = ()) -> bytes:
    """Return a request that asks for the connection's end."""
    return request(path, "Connection: close", *lines, without=("Upgrade", "Sec-WebSocket-Key", *without))


async def asked(port: int, *parts: bytes) -> Answer:
    """Return the answer to these bytes."""
    async with wire(port, *parts) as client:
        return await client.answer()


async def told(port: int, *lines: str) -> dict[str, Any]:
    """Return what the application knows about a request."""
    answer = await asked(port, get("/", *lines))
    assert answer.status == 200, answer
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def opened(client: Wire) -> None:
    """Take the 101."""
    assert (await client.answer()).status == 101


def alive(pid: int) -> bool:
    """Tell whether a process runs, and is not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(*pids: int) -> None:
    """Wait until none of them runs."""
    async with asyncio.timeout(PATIENCE):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110  somebody else's child sets no event
            await asyncio.sleep(0.02)


async def answering(served: Served, count: int) -> set[int]:
    """Ask until so many processes have answered, and return them."""
    found: set[int] = set()
    async with asyncio.timeout(PATIENCE * 2):
        while len(found) < count:
            # Many at once, since the one that is awake takes what comes one after the other.
            for answer in await asyncio.gather(*(told(served.port) for _ in range(8))):
                found.add(answer["pid"])
    return found


# Starting.


async def test_it_says_where_it_listens_after_what_was_prepared() -> None:
    """What `prepare` says comes first, then the addresses with their ports' numbers, how many may come, the store."""
    async with serving() as served:
        lines = served.output.splitlines()
        assert lines[0] == "prepared for 1"
        assert lines[1] == f"wsauth is listening on http://127.0.0.1:{served.port}"
        assert lines[2] == f"  admin: http://127.0.0.1:{served.admin_port}"
        assert re.fullmatch(r"  connections: [\d,]+ at most \(.*\)", lines[3])
        assert lines[4].startswith("  store: /")
        public, admin = await told(served.port), await told(served.admin_port)
        assert (public["listener"], admin["listener"]) == ("public", "admin")
        assert public["urls"] == [f"http://127.0.0.1:{served.port}", f"http://127.0.0.1:{served.admin_port}"]


@pytest.mark.parametrize("key", ["server.port={}", "admin.listen=127.0.0.1:{}"])
async def test_a_taken_port_ends_it_with_a_line_that_names_the_key(key: str) -> None:
    """Exit status 2, and one line: the key, the address, the mend."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with started(key.format(port)) as served:
            assert await served.ended() == 2
            (line,) = served.output.splitlines()
            assert line.startswith(f"wsauth: {key.partition('=')[0]}: 127.0.0.1:{port} is taken; ")


async def test_the_admin_listens_on_a_unix_socket_for_its_owner_only(tmp_path: Path) -> None:
    """A stale socket is replaced, the new one is 0600, answers, and is removed at the end."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with serving(f"admin.listen=unix:{path}") as served:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(get())
        answer = await reader.read()
        writer.close()
        assert b'"listener": "admin"' in answer, served.output
        async with started(f"admin.listen=unix:{path}") as second:
            assert await second.ended() == 2
            assert "is taken" in second.output
        served.process.terminate()
        assert await served.ended() == 0
    assert not path.exists()


async def test_admin_off_listens_nowhere() -> None:
    """No line and no address tell of an admin listener."""
    async with serving("admin.listen=off") as served:
        assert "admin:" not in served.output
        assert (await told(served.port))["urls"][1] == ""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_the_application_finds_misconfigured_ends_it_with_status_2(workers: str) -> None:
    """The application's own words are printed, and nobody tries again."""
    async with started(f"server.workers={workers}", SERVING_MISCONFIGURED="1") as served:
        assert await served.ended() == 2
        assert "wsauth: store.url: the file is no store; name another one" in served.output


# Several processes.


async def test_two_workers_serve_both_listeners() -> None:
    """Two processes answer on one port, neither is the parent, and it says so once."""
    async with serving("server.workers=2") as served:
        pids = await answering(served, 2)
        assert served.process.pid not in pids
        assert (await told(served.admin_port))["pid"] in pids
        assert len(LISTENING.findall(served.output)) == 1


async def test_a_killed_worker_comes_back() -> None:
    """Another one takes its place, and a line tells of it."""
    async with serving("server.workers=2") as served:
        before = await answering(served, 2)
        os.kill(min(before), signal.SIGKILL)
        await gone(min(before))
        after = await answering(served, 2)
        assert max(before) in after
        assert "ended with status -9; another one starts" in served.output


async def test_workers_that_die_at_once_end_the_server() -> None:
    """After five in a row it gives up, with exit status 1."""
    async with started("server.workers=2", SERVING_DIES="1") as served:
        assert await served.ended(90) == 1
        assert "times in a row" in served.output


async def test_a_killed_parent_leaves_nobody() -> None:
    """Its workers end with it, and the port is free."""
    async with serving("server.workers=2") as served:
        pids = await answering(served, 2)
        served.process.kill()
        await gone(*pids)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)


# Ending.


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_with_0(workers: str, number: signal.Signals) -> None:
    """Alice's socket is closed with 1012 and its reason, the application is closed, and no worker is left."""
    async with serving(f"server.workers={workers}") as served:
        pid = (await told(served.port))["pid"]
        async with wire(served.port, request()) as alice:
            await opened(alice)
            served.process.send_signal(number)
            end = await alice.closed()
            assert (end.close_code, end.reason) == (1012, "draining")
            assert await alice.ended()
        assert await served.ended() == 0
        assert served.output.count("the application is closed") == int(workers)
        assert "ERROR" not in served.output
        assert not alive(pid)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_second_signal_ends_at_once(workers: str) -> None:
    """While it drains nobody is accepted any more, and the second SIGTERM does not wait for the rest."""
    async with serving(f"server.workers={workers}", SERVING_DRAINS="1") as served:
        async with wire(served.port, request()) as alice:
            await opened(alice)
            served.process.terminate()
            await alice.closed()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionRefusedError):
                while True:
                    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
                    writer.transport.abort()
                    await asyncio.sleep(0.02)
        assert served.process.poll() is None
        served.process.terminate()
        assert await served.ended(2) == 0


# Heads and bodies.

_KEEP = "Connection: keep-alive"
BAD = {
    "bare LF": (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\r\n\r\n", 400),
    "obs-fold": (get("/", "X-A: 1\r\n 2"), 400),
    "NUL": (get("/", "X-A: 1\x00"), 400),
    "a space before the colon": (get("/", "X-A : 1"), 400),
    "no Host": (get("/", without=("Host",)), 400),
    "two Hosts": (get("/", "Host: 127.0.0.1", "Host: 127.0.0.1"), 400),
    "a Host with a path": (get("/", "Host: 127.0.0.1/x"), 400),
    "both lengths": (get("/", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
    "an absolute target": (get("http://127.0.0.1/"), 400),
    "HTTP/1.0 that upgrades": (request(start="GET /ws HTTP/1.0"), 400),
    "a handshake by POST": (request(start="POST /ws HTTP/1.1"), 405),
    "an old version": (request("/ws", "Sec-WebSocket-Version: 8"), 426),
    "no key": (request("/ws", without=("Sec-WebSocket-Key",)), 400),
    "a bad subprotocol": (request("/ws", "Sec-WebSocket-Protocol: b" + " " * 6000 + "x"), 400),
    "a long target": (get("/" + "x" * 9_000), 414),
    "a head over the limit": (get("/", *[f"X-{number}: {'x' * 1000}" for number in range(20)]), 431),
    "a head that never ends": (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
    "a thousand lines": (get("/", *["X: 1"] * 1000), 431),
    "a long line in a handshake": (request("/ws", "X-A: " + "x" * 8_300), 431),
    "a large body": (get("/", "Content-Length: 65537"), 413),
    "large chunks": (get("/", "Transfer-Encoding: chunked") + b"11000\r\n" + b"x" * 0x11000, 413),
    "somebody else's Host": (get("/", "Host: mallory.example"), 421),
    "somebody else's Host in a handshake": (request("/ws", "Host: mallory.example"), 421),
}


async def test_what_is_not_strict_http_is_refused_and_the_connection_ends() -> None:
    """Each gets its status as a problem with `request_invalid`, TCP ends, and the server serves on without an error."""
    async with serving() as served:
        for name, (sent, status) in BAD.items():
            async with wire(served.port, sent) as mallory:
                answer = await mallory.answer()
                assert (answer.status, answer.code) == (status, "request_invalid"), name
                assert answer.header("connection") == "close", name
                assert answer.header("content-type") == "application/problem+json", name
                assert await mallory.cut(), name
        assert (await told(served.admin_port))["listener"] == "admin"
        assert (await asked(served.admin_port, get("/", "Host: rebound.example"))).status == 421
        assert "Traceback" not in served.output
        assert "ERROR" not in served.output


async def test_a_connection_serves_one_request_after_the_other() -> None:
    """Two requests and a handshake in one segment are answered in order, and what came behind the handshake too."""
    async with serving() as served:
        slow = (
            request("/slow", _KEEP, "Content-Length: 5", without=("Upgrade",), start="POST /slow HTTP/1.1") + b"hello"
        )
        quick = request("/quick", _KEEP, without=("Upgrade",))
        async with wire(served.port, slow, quick, request(), frame("one"), frame("two")) as alice:
            first, second = await alice.answer(), await alice.answer()
            assert [json.loads(each.body)["path"] for each in (first, second)] == ["/slow", "/quick"]
            assert json.loads(first.body)["body"] == 5
            await opened(alice)
            assert [await alice.text(), await alice.text()] == ["one", "two"]
            alice.send(frame("three"))
            assert await alice.text() == "three"
            alice.send(frame("scheme?"))
            assert await alice.text() == "ws"


async def test_what_comes_before_the_101_waits_for_it() -> None:
    """Messages that are sent with the handshake are answered in order, also more than is read ahead of the upstream."""
    async with serving() as served:
        texts = ["first", *(f"{number} {'x' * 30_000}" for number in range(8)), "last"]
        async with wire(served.port, request(), *(frame(text) for text in texts)) as alice:
            await opened(alice)
            assert [await alice.text() for _ in texts] == texts


async def test_the_application_gets_a_whole_body_and_no_trailers() -> None:
    """A body in chunks arrives as one, a header behind it not at all, and the connection ends with the answer."""
    async with serving() as served:
        chunks = b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\nX-Forged: 1\r\n\r\n", get("/smuggled")
        head = request("/", _KEEP, "Transfer-Encoding: chunked", without=("Upgrade",), start="POST / HTTP/1.1")
        async with wire(served.port, head) as alice:
            for chunk in chunks:
                await asyncio.sleep(0.05)
                alice.send(chunk)
            answer = await alice.answer()
            found = json.loads(answer.body)
            assert (found["body"], found["calls"]) == (5, 1)
            assert "x-forged" not in found["headers"]
            assert answer.header("connection") == "close"
            assert (await alice.answer()).status == 0


async def test_an_upgrade_to_something_else_is_no_upgrade() -> None:
    """A client that would like HTTP/2 is answered over HTTP/1.1."""
    async with serving() as served:
        answer = await asked(served.port, request("/", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"))
        assert answer.status == 200


async def test_a_denial_by_the_application_is_told_in_our_words() -> None:
    """A 403 of an upstream is `permission_denied`; nothing that it wrote arrives, and nobody logs an error about it."""
    async with serving() as served:
        answer = await asked(served.port, request("/denied"))
        assert (answer.status, answer.code) == (403, "permission_denied")
        assert (answer.header("x-secret"), answer.header("content-type")) == ("", "application/problem+json")
        assert "ERROR" not in served.output


@pytest.mark.parametrize(
    ("first", "drip", "status"),
    [
        (b"", b"", 0),
        (b"GET / HTTP/1.1\r\nX: ", b"x", 408),
        (get("/", "Content-Length: 500"), b"x", 408),
    ],
    ids=["silent", "slow head", "slow body"],
)
async def test_a_slow_request_gets_408_at_one_deadline_that_no_byte_moves(
    first: bytes, drip: bytes, status: int
) -> None:
    """After `request_timeout` it is over, however often Mallory sends another byte; without one, without a word."""
    async with serving("server.request_timeout=500ms") as served, wire(served.port, first) as mallory:
        began = asyncio.get_running_loop().time()
        answering = asyncio.create_task(mallory.answer())
        while not answering.done():
            mallory.send(drip)
            await asyncio.sleep(0.05)
        assert answering.result().status == status
        assert asyncio.get_running_loop().time() - began < 2
        assert await mallory.cut()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    """Between two requests nobody waits for longer than `request_timeout`."""
    async with serving("server.request_timeout=500ms") as served, wire(served.port) as alice:
        alice.send(request("/", _KEEP, without=("Upgrade",)))
        assert (await alice.answer()).status == 200
        assert (await alice.answer(3)).status == 0


# TLS and proxies.


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[trustme.CA, list[str]]:
    """Make a certificate for 127.0.0.1, and the keys that configure it."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    return authority, [f"server.tls_certificate={tmp_path}/cert.pem", f"server.tls_key={tmp_path}/key.pem"]


async def over_tls(port: int, authority: trustme.CA, version: ssl.TLSVersion, sent: bytes) -> str:
    """Return the head of an answer over exactly this version."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = version
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            return (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    finally:
        writer.transport.abort()


async def test_tls_is_1_3_and_every_answer_says_https_only(certificate: tuple[trustme.CA, list[str]]) -> None:
    """A client of TLS 1.2 is refused; answers, refusals, handshakes and denials carry HSTS for a year (CK-13)."""
    authority, keys = certificate
    async with serving(*keys) as served:
        assert LISTENING.findall(served.output)[0][0] == "https"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await over_tls(served.port, authority, ssl.TLSVersion.TLSv1_2, get())
        cases = {
            "200": get(),
            "421": get("/", "Host: mallory.example"),
            "400": b"x\r\n\r\n",
            "101": request(),
            "403": request("/denied"),
        }
        for status, sent in cases.items():
            answer = await over_tls(served.port, authority, ssl.TLSVersion.TLSv1_3, sent)
            assert answer.startswith(f"http/1.1 {status} ")
            assert answer.count("strict-transport-security: max-age=31536000; includesubdomains") == 1
        assert "strict" not in str((await asked(served.admin_port, get())).headers)


async def test_tls_1_2_is_spoken_where_the_configuration_says_so(certificate: tuple[trustme.CA, list[str]]) -> None:
    """`tls_minimum = "1.2"` lets older clients in."""
    authority, keys = certificate
    async with serving(*keys, "server.tls_minimum=1.2") as served:
        answer = await over_tls(served.port, authority, ssl.TLSVersion.TLSv1_2, get())
        assert answer.startswith("http/1.1 200 ")


async def test_a_tls_handshake_that_stops_is_cut(certificate: tuple[trustme.CA, list[str]]) -> None:
    """Half a ClientHello holds a connection no longer than `request_timeout` (RX-03)."""
    _, keys = certificate
    async with serving(*keys, "server.request_timeout=500ms") as served, wire(served.port) as mallory:
        mallory.send(b"\x16\x03\x01\x02\x00\x01")
        assert await mallory.cut(3)


async def test_a_trusted_proxy_says_who_the_client_is_and_that_it_came_over_tls() -> None:
    """Address and scheme are those that the proxy tells; plain http, and a proxy that says nothing, are refused."""
    async with wide('server.trusted_proxies=["127.0.0.1"]') as (served, port):
        found = await told(port, "X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-Proto: https")
        assert (found["client"], found["scheme"]) == ("203.0.113.9", "https")
        found = await told(port, 'Forwarded: for="[2001:db8::1]:4711";proto=https')
        assert (found["client"], found["scheme"]) == ("2001:db8::1", "https")
        for lines in (
            ["X-Forwarded-Proto: http"],
            ["X-Forwarded-Proto: https, http"],
            ["X-Forwarded-For: 1.2.3.4"],
            [],
        ):
            answer = await asked(port, get("/", *lines))
            assert (answer.status, answer.code) == (400, "request_invalid")
        assert (await asked(port, request("/ws", "X-Forwarded-Proto: https"))).status == 101
        assert "strict-transport-security" in dict((await asked(port, get("/healthz"))).headers)
        assert served.process.poll() is None


async def test_nobody_but_the_proxy_comes_in() -> None:
    """Another peer is refused with 403, whatever it says about itself, by HTTP and by WebSocket."""
    async with wide('server.trusted_proxies=["192.0.2.7"]') as (_, port):
        for sent in (get("/", "X-Forwarded-Proto: https"), request("/ws", "X-Forwarded-Proto: https")):
            answer = await asked(port, sent)
            assert (answer.status, answer.code) == (403, "address_blocked")


async def test_without_trusted_proxies_the_headers_say_nothing() -> None:
    """Mallory stays who she is (PW-14)."""
    async with serving() as served:
        found = await told(served.port, "X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9;proto=https")
        assert (found["client"], found["scheme"]) == ("127.0.0.1", "http")
