"""Ends in the middle of traffic: close frames stand between messages, else between frames, else TCP is cut."""

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection as Peer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from wsauth.guard.configured import backend_of
from wsauth.settings import load

ENDS = 1_000
"""Connections that are ended, by expiry and by revocation each."""
AT_ONCE = 50
"""Connections of one subject, open at the same time."""
CUT = 1006
BROKEN = 1002
BETWEEN_FRAGMENTS = "incomplete fragmented message"
"""What `websockets` says to a close frame between two fragments, where RFC 6455 section 5.4 allows it."""
PATIENCE = 60.0

CONFIG = """
[tokens]
access_ttl = "10m"
[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{port}"
grace = ""
max_message = "4MiB"
"""

Messages = Iterator[bytes]


class Seen:
    """Count how connections ended on both sides, and what was wrong.

    Attributes:
        clients: close codes of clients.
        upstreams: close codes of the backend's connections; what it answered, where it found an error.
        errors: what the backend answered to what it took for an error.
        corrupt: messages that did not arrive as they were sent.
        messages: those that did.
    """

    def __init__(self) -> None:
        self.clients: Counter[int] = Counter()
        self.upstreams: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.corrupt = 0
        self.messages = 0

    def take(self, message: str | bytes) -> None:
        """Check a message: its content is named by its beginning."""
        data = message.encode() if isinstance(message, str) else message
        if sealed(data[16:]) == data[:16]:
            self.messages += 1
        else:
            self.corrupt += 1


def sealed(payload: bytes) -> bytes:
    """Return what stands in front of a payload."""
    return hashlib.sha256(payload).hexdigest()[:16].encode()


def made(draw: random.Random) -> bytes:
    """Return a message of 10 bytes to a megabyte, mostly short."""
    size = int(10 ** draw.uniform(1, 6 if draw.random() < 0.05 else 4))
    payload = draw.randbytes(min(size, 64)) * (size // 64 + 1)
    return sealed(payload) + payload


async def pump(peer: Peer, draw: random.Random) -> None:
    """Send messages, a third of them in fragments, until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            message = made(draw)
            if draw.random() < 0.3:
                await peer.send(fragments(message, draw))
            else:
                await peer.send(message)
            if draw.random() < 0.1:
                await (await peer.ping())
            await asyncio.sleep(draw.uniform(0, 0.01))


async def fragments(message: bytes, draw: random.Random) -> AsyncIterator[bytes]:
    """Return a message in pieces of 1 to 70,000 bytes, with pauses between some."""
    at = 0
    while at < len(message):
        size = int(10 ** draw.uniform(0, 4.85))
        if at + 16 * size < len(message):
            size = len(message) // 16
        yield message[at : at + size]
        at += size
        if draw.random() < 0.2:
            await asyncio.sleep(draw.uniform(0, 0.02))


async def converse(peer: Peer, seen: Seen, seed: int) -> None:
    """Send and take messages until the connection ends."""
    pumping = asyncio.create_task(pump(peer, random.Random(seed)))
    try:
        async for message in peer:
            seen.take(message)
    except ConnectionClosed:
        pass
    finally:
        pumping.cancel()
        await asyncio.wait({pumping})


@asynccontextmanager
async def backend(seen: Seen) -> AsyncGenerator[int]:
    """Run a `websockets` server that talks all the time; return its port."""
    seeds = iter(range(10_000, 100_000))

    async def handle(connection: ServerConnection) -> None:
        await converse(connection, seen, next(seeds))
        await connection.wait_closed()
        # What the library sent tells more: it answers an error of ours with its own code.
        sent = connection.protocol.close_sent
        seen.upstreams[sent.code if sent is not None else CUT] += 1
        if sent is not None and sent.code == BROKEN:
            seen.errors[sent.reason] += 1

    async with serve(handle, "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def tokens(folder: Path, subject: str, ttls: list[float]) -> list[str]:
    """Return tokens of the server's own, with so many seconds to live."""
    backend_ = backend_of(load(folder / "wsauth.toml", {"WSAUTH__TOKENS__ISSUER": "http://wsauth.test"}), follows=False)
    await backend_.open()
    try:
        assert backend_.local is not None
        issue = backend_.local.tokens.issue_by_hand
        return [secret(issue(subject, ttl=ttl), "a token made by hand") for ttl in ttls]
    finally:
        await backend_.aclose()


async def talk(server: Serving, token: str, seen: Seen, seed: int, opened: asyncio.Event) -> None:
    """Be one client, until it is ended; every third speaks wsauth."""
    speaks = seed % 3 == 0
    offers = [Subprotocol("wsauth.v1")] if speaks else None
    async with connect(
        f"{server.ws}/ws",
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=offers,
        compression=None,
        max_size=None,
        ping_interval=None,
        proxy=None,
        open_timeout=PATIENCE,
    ) as client:
        if speaks:
            await client.recv()  # auth_success
        opened.set()
        await _talk(client, seen, seed, speaks=speaks)
        seen.clients[client.close_code or CUT] += 1


async def _talk(client: ClientConnection, seen: Seen, seed: int, *, speaks: bool) -> None:
    pumping = asyncio.create_task(pump(client, random.Random(seed)))
    try:
        async for message in client:
            if not (speaks and isinstance(message, str) and message.startswith('{"type":"auth_')):
                seen.take(message)
    except ConnectionClosed:
        pass
    finally:
        pumping.cancel()
        await asyncio.wait({pumping})


End = Callable[[str], Awaitable[None]]


async def storm(server: Serving, seen: Seen, ttl: tuple[float, float], end: End) -> None:
    """Have connections talk and end, some at once, each group of one subject."""
    draw = random.Random(7)
    for group in range(ENDS // AT_ONCE):
        subject = f"subject-{group}"
        minted = await tokens(server.folder, subject, [draw.uniform(*ttl) for _ in range(AT_ONCE)])
        opened = [asyncio.Event() for _ in minted]
        clients = [
            asyncio.create_task(talk(server, token, seen, group * AT_ONCE + at, opened[at]))
            for at, token in enumerate(minted)
        ]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(each.wait() for each in opened))
            await end(subject)
            await asyncio.gather(*clients)


async def settled(seen: Seen) -> None:
    """Wait until the backend has seen as many ends as there were connections."""
    async with asyncio.timeout(PATIENCE):
        while sum(seen.upstreams.values()) < ENDS:  # noqa: ASYNC110  the backend tells nobody
            await asyncio.sleep(0.05)


def ended_as_they_may(seen: Seen) -> None:
    """See that both sides got 3000, or TCP was cut where no frame ended in half a second, and no other error."""
    assert seen.corrupt == 0
    assert seen.messages > ENDS
    assert set(seen.clients) <= {3000, CUT}, seen.clients
    assert set(seen.upstreams) <= {3000, CUT, BROKEN}, seen.upstreams
    assert set(seen.errors) <= {BETWEEN_FRAGMENTS}, seen.errors
    assert sum(seen.clients.values()) == sum(seen.upstreams.values()) == ENDS
    assert seen.clients[3000] > ENDS // 2, seen.clients


async def test_a_thousand_leases_end_in_heavy_traffic(tmp_path: Path) -> None:
    """Each client and each upstream gets the close frame where its messages allow it, or is cut; nothing is corrupt."""
    seen = Seen()
    async with backend(seen) as port, serving(tmp_path, config=CONFIG.format(port=port)) as server:

        async def wait(_: str) -> None:
            """The leases end by themselves."""

        await storm(server, seen, (3.0, 5.0), wait)
        await settled(seen)
        ended_as_they_may(seen)


async def test_a_thousand_revocations_in_heavy_traffic(tmp_path: Path) -> None:
    """A revocation ends the client's message with its frame; nothing else is an error on either side."""
    seen = Seen()
    draw = random.Random(11)
    async with backend(seen) as port, serving(tmp_path, config=CONFIG.format(port=port)) as server:
        key = await server.add_service("operator", grants=["wsauth:revoke"])
        async with httpx2.AsyncClient(base_url=server.admin, headers={"Authorization": f"Bearer {key}"}) as admin:

            async def revoke(subject: str) -> None:
                await asyncio.sleep(draw.uniform(0.3, 1.0))
                reply = await admin.post(
                    "/admin/api/revocations", json={"subject": subject, "issuer": "wsauth"}, timeout=PATIENCE
                )
                assert reply.status_code in (200, 202), reply.text

            await storm(server, seen, (300, 300), revoke)
        await settled(seen)
        ended_as_they_may(seen)
