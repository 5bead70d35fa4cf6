"""src/wsauth/browser/wsauth.js in real Chromium against a Guard behind uvicorn: both sides of the wire are ours.

Page and guard have a clock each, which stand still until a test moves them.
"""

from collections.abc import AsyncGenerator

import pytest

from tests.end_to_end.browser import site
from tests.end_to_end.client_page import Client
from tests.end_to_end.guarded import guarded, serving, token
from tests.issuing import ISSUER, SteppedClock, claims, signed
from wsauth import Guard

pytestmark = pytest.mark.anyio


class Place:
    """A guard, where it listens, and the client that talks to it."""

    def __init__(self, client: Client, guard: Guard, clock: SteppedClock, host: str) -> None:
        """Take all of them."""
        self.client = client
        self.guard = guard
        self.clock = clock
        self.url = f"ws://{host}/ws"

    async def passes(self, seconds: float) -> None:
        """Move both clocks, the guard's first."""
        self.clock.advance(seconds)
        await self.client.passes(seconds)

    async def echoes(self, text: str, count: int = 1) -> None:
        """Send a message and wait until it is back."""
        await self.client.tab.run("(text) => socket.send(text)", text)
        assert await self.client.told("message", count) == text


@pytest.fixture
async def place(client: Client) -> AsyncGenerator[Place]:
    """Guard an echo for the page's origin."""
    clock = SteppedClock()
    guard = guarded([client.tab.origin], clock)
    async with serving(guard) as host:
        yield Place(client, guard, clock, host)


async def test_renewal(place: Place) -> None:
    """The lease is renewed on the open socket at the time the guard drew, and messages go on passing."""
    await place.client.connect(token(place.clock, age=60), token(place.clock, ttl=600), url=place.url)
    assert (await place.client.told("open"))["subject"] == "alice"
    await place.echoes("before")
    await place.passes(0.59 * 300)
    assert await place.client.get("asked") == [False]
    await place.passes(0.27 * 300)
    ends_at = (await place.client.told("renewed"))["expiresAt"]
    assert ends_at == (1 + 600) * 1000
    await place.passes(60)
    await place.echoes("after the first token's end", 2)
    assert await place.client.get("log.filter(([event]) => event === 'close')") == []


async def test_expiry_and_renewal(place: Place) -> None:
    """A lease that ends while no token can be had is stale; the next token saves the socket."""
    await place.client.connect(token(place.clock, age=60), url=place.url)
    await place.client.told("open")
    place.clock.advance(301)
    assert await place.client.tab.until("() => socket.state === 'stale'")
    await place.client.tab.run("(token) => { tokens.push(token); socket.renew(); }", token(place.clock))
    await place.client.told("renewed")
    await place.echoes("after")


async def test_kick(place: Place) -> None:
    """Kicked for a minute, the client comes back after a minute, not before."""
    await place.client.connect(token(place.clock), token(place.clock), url=place.url)
    await place.client.told("open")
    report = await place.guard.disconnect(subject="alice", issuer=ISSUER, retry_after=60)
    assert (report.matched, report.closed) == (1, 1)
    closed = await place.client.told("close")
    assert closed["refusal"]["code"] == "disconnected"
    assert (closed["refusal"]["retryAfter"], closed["retryIn"]) == (60, 60_250)
    await place.passes(60.2)
    assert await place.client.get("socket.state") == "waiting"
    await place.passes(0.1)
    await place.client.told("open", 2)
    await place.echoes("again")


async def test_kick_for_good(place: Place) -> None:
    """Kicked without a time, the client stays away."""
    await place.client.connect(token(place.clock), token(place.clock), url=place.url)
    await place.client.told("open")
    await place.guard.disconnect(subject="alice", issuer=ISSUER)
    closed = await place.client.told("close")
    assert (closed["code"], closed["refusal"]["action"], closed["retryIn"]) == (3003, "stop", None)


async def test_revocation(place: Place) -> None:
    """Revoked, the client comes back with a fresh token only, and stays away when that is no better."""
    old = token(place.clock)
    await place.client.connect(old, old, old, url=place.url)
    await place.client.told("open")
    await place.guard.revoke(subject="alice", issuer=ISSUER)
    closed = await place.client.told("close")
    assert (closed["code"], closed["refusal"]["action"]) == (3000, "login")
    await place.passes(0.3)
    assert (await place.client.told("close", 2))["retryIn"] is None
    assert await place.client.get("asked") == [False, True]


@pytest.mark.parametrize("code", ["token_invalid", "token_expired"])
async def test_a_bad_token_and_a_good_one(place: Place, code: str) -> None:
    """A bad token is refused with its reason and an id, and the fresh one is taken on the same socket."""
    now = int(place.clock.now())
    forged = signed(claims(sub="alice"), key="mallory's own secret, which is long enough")
    bad = forged if code == "token_invalid" else signed(claims(iat=now - 600, exp=now - 300))
    await place.client.connect(bad, token(place.clock), url=place.url)
    await place.client.told("open")
    refusal = await place.client.told("refusal")
    assert (refusal["code"], refusal["closing"], len(refusal["id"])) == (code, False, 12)
    assert await place.client.get("asked") == [False, True]


async def test_only_bad_tokens(place: Place) -> None:
    """Mallory's tokens open nothing, and after the fresh one the client asks for a login."""
    forged = signed(claims(sub="alice"), key="mallory's own secret, which is long enough")
    await place.client.connect(forged, forged, forged, url=place.url)
    closed = await place.client.told("close")
    assert (closed["refusal"]["code"], closed["refusal"]["action"]) == ("token_invalid", "login")
    assert closed["retryIn"] is None
    assert await place.client.get("socket.ready.catch((refusal) => refusal.code)") == "token_invalid"


async def test_permission_denied(place: Place) -> None:
    """Where Bob may not connect he is told so, and the client does not try again."""
    bob = signed(claims(sub="bob"))
    await place.client.connect(bob, bob, url=place.url.replace("/ws", "/admin"))
    closed = await place.client.told("close")
    assert (closed["code"], closed["refusal"]["code"]) == (3003, "permission_denied")
    await place.passes(3_600)
    assert await place.client.get("[socket.state, asked]") == ["closed", [False]]


@pytest.mark.parametrize(
    "text", ["", "plain", '{"type":"author"}', '{"wsauth":1}', "[{}]", "\u00e9\U0001f600", "x" * 60_000]
)
async def test_messages_are_untouched(place: Place, text: str) -> None:
    """The application's messages go through client, guard and back as they were sent."""
    await place.client.connect(token(place.clock), url=place.url)
    await place.client.told("open")
    await place.echoes(text)


async def test_a_page_of_mallory(place: Place) -> None:
    """A page on another origin cannot connect, even with Alice's token; it cannot see why, and only retries."""
    async with site(host="127.0.0.2") as elsewhere:
        await place.client.tab.page.goto(elsewhere)
        await place.client.connect(token(place.clock), url=place.url)
        closed = await place.client.told("close")
    assert (closed["code"], closed["retryIn"]) == (1006, 250)
    assert await place.client.get("asked") == []
