"""src/wsauth/browser/wsauth.js in real Chromium against a peer that plays the server: ends and reconnections.

A full jitter of up to 500 ms is 250 ms here.
"""

import pytest

from tests.end_to_end.client_page import Client, opened

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("announced", [True, False])
async def test_a_kick_is_obeyed(client: Client, announced: bool) -> None:
    """After a kick it comes back once retry_after has passed, whether an auth_error told it or the close."""
    line = await opened(client, "first", "second")
    if announced:
        await line.refuse("disconnected", "retry", closing=True, retry_after=60)
    await line.close(3003, "disconnected;id=a1B2c3D4e5F6;retry_after=60")
    closed = await client.told("close")
    assert (closed["code"], closed["retryIn"]) == (3003, 60_250)
    assert closed["refusal"]["retryAfter"] == 60
    await client.told("refusal")
    await client.passes(60.2)
    assert client.peer.knocks == 1
    await client.passes(0.1)
    assert await (await client.peer.line()).admit() == "second"
    await client.told("open", 2)
    assert await client.get("asked") == [False, False]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (3003, "permission_denied;id=a1B2c3D4e5F6"),
        (3003, "disconnected;id=a1B2c3D4e5F6"),
        (3000, "credentials_ambiguous;id=a1B2c3D4e5F6"),
        (1008, "message_invalid;id=a1B2c3D4e5F6"),
        (1000, "done"),
        (4001, "the application's; own"),
    ],
)
async def test_stop_is_obeyed(client: Client, code: int, reason: str) -> None:
    """After a close that says stop it stays away, however long."""
    line = await opened(client, "first", "second", expires_in=300, renew_in=200)
    await line.close(code, reason)
    closed = await client.told("close")
    assert (closed["code"], closed["reason"], closed["retryIn"]) == (code, reason, None)
    await client.passes(3_600)
    assert (client.peer.knocks, await client.get("socket.state")) == (1, "closed")
    assert await client.get("asked") == [False]


async def test_an_announced_stop_is_obeyed(client: Client) -> None:
    """The action of a closing auth_error counts, also where the close alone would mean another try."""
    line = await opened(client, "first")
    await line.refuse("unheard_of", "stop", closing=True)
    await line.close(1013, "unheard_of;id=a1B2c3D4e5F6")
    assert (await client.told("close"))["retryIn"] is None


async def test_login_is_tried_once(client: Client) -> None:
    """After a revocation one try with a fresh token follows, then nothing until renew() is called."""
    line = await opened(client, "first", "second", "third")
    await line.close(3000, "session_revoked;id=a1B2c3D4e5F6")
    assert (await client.told("close"))["retryIn"] == 250
    await client.passes(0.3)
    line = await client.peer.line()
    await line.require()
    assert (await line.hear())["token"] == "second"
    await line.close(3000, "token_revoked;id=a1B2c3D4e5F6")
    assert (await client.told("close", 2))["retryIn"] is None
    await client.passes(3_600)
    assert client.peer.knocks == 2
    await client.tab.run("() => socket.renew()")
    await client.passes(0)
    assert await (await client.peer.line()).admit() == "third"
    assert await client.get("asked") == [False, True, True]


async def test_a_success_gives_the_fresh_try_back(client: Client) -> None:
    """A client that once needed a fresh token, and got in with it, may try a fresh one again."""
    await client.connect("bad", "second", "third")
    line = await client.peer.line()
    await line.require()
    await line.hear()
    await line.refuse("token_invalid", "login")
    assert (await line.hear())["token"] == "second"
    await line.grant()
    await client.told("open")
    await line.close(3000, "token_revoked;id=a1B2c3D4e5F6")
    assert (await client.told("close"))["retryIn"] == 250
    await client.passes(0.3)
    assert await (await client.peer.line()).admit() == "third"


async def test_renewing_after_the_end(client: Client) -> None:
    """renew() on a socket that was closed for good connects again, with a fresh token."""
    line = await opened(client, "first", "second")
    await line.close(1000, "done")
    await client.told("close")
    await client.tab.run("() => socket.renew()")
    await client.passes(0)
    assert await (await client.peer.line()).admit() == "second"
    assert await client.get("asked") == [False, True]


async def test_refresh_comes_before_the_handshake(client: Client) -> None:
    """After a lease that ended, the fresh token is there before the next handshake begins."""
    line = await opened(client, "first", "offline", "second")
    await line.close(3000, "token_expired;id=a1B2c3D4e5F6")
    await client.told("close")
    await client.passes(0.3)
    assert (await client.told("close", 2))["retryIn"] == 500
    assert client.peer.knocks == 1
    await client.passes(0.5)
    assert await (await client.peer.line()).admit() == "second"
    await client.told("open", 2)
    assert await client.get("asked") == [False, True, True]


@pytest.mark.parametrize(
    ("code", "reason", "delay"),
    [
        (1012, "draining;retry_after=3", 3_250),
        (1012, "rights_changed;id=a1B2c3D4e5F6", 250),
        (1013, "too_slow;id=a1B2c3D4e5F6", 250),
        (3008, "idle_timeout;id=a1B2c3D4e5F6", 250),
        (1001, "", 250),
        (1011, "", 250),
        (1006, "", 250),
    ],
)
async def test_what_passes_is_retried(client: Client, code: int, reason: str, delay: int) -> None:
    """After an end that passes it comes back with a full jitter, and with the token it is given."""
    line = await opened(client, "first", "second")
    await (line.cut() if code == 1006 else line.close(code, reason))
    closed = await client.told("close")
    assert (closed["code"], closed["retryIn"]) == (code, delay)
    await client.passes(delay / 1000)
    assert await (await client.peer.line()).admit() == "second"


async def test_backoff_grows_to_its_ceiling(client: Client) -> None:
    """The jitter's range doubles from 500 ms with each failure, up to 30 s, and never gives up."""
    client.peer.refusing = True
    await client.connect("good")
    delays = []
    for count in range(1, 10):
        closed = await client.told("close", count)
        delays.append(closed["retryIn"])
        await client.passes(closed["retryIn"] / 1000)
    assert delays == [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]


@pytest.mark.parametrize(("lifetime", "delay"), [(0, 500), (11, 250)])
async def test_a_stable_socket_forgets_failures(client: Client, lifetime: int, delay: int) -> None:
    """A socket that lived ten seconds begins the backoff anew; one that fell at once does not."""
    line = await opened(client, "first", "second")
    await line.cut()
    await client.told("close")
    await client.passes(0.25)
    line = await client.peer.line()
    await line.admit()
    await client.told("open", 2)
    await client.passes(lifetime)
    await line.cut()
    assert (await client.told("close", 2))["retryIn"] == delay


async def test_a_fresh_token_that_nobody_asked_for(client: Client) -> None:
    """A token got for a handshake that then needed none is dropped, and not sent at the next renewal."""
    line = await opened(client, "first", "dropped", "third")
    await line.close(3000, "token_expired;id=a1B2c3D4e5F6")
    await client.told("close")
    await client.passes(0.3)
    line = await client.peer.line()
    await line.grant(renew_in=100)
    await client.told("open", 2)
    await client.passes(100)
    assert (await line.hear())["token"] == "third"


async def test_a_renewal_forgets_failures(client: Client) -> None:
    """A socket whose lease was renewed begins the backoff anew."""
    line = await opened(client, "first", "second")
    await line.cut()
    await client.told("close")
    await client.passes(0.25)
    line = await client.peer.line()
    await line.admit()
    await line.grant()
    await client.told("renewed")
    await line.cut()
    assert (await client.told("close", 2))["retryIn"] == 250


async def test_close_ends_everything(client: Client) -> None:
    """After close() no timer is left: no renewal, no reconnection, and no further event."""
    line = await opened(client, "first", "second", expires_in=300, renew_in=200)
    await client.tab.run("() => socket.close(3999, 'bye')")
    assert await line.gone() == (3999, "bye")
    await client.passes(3_600)
    assert await client.told("close") == {"code": 3999, "reason": "bye", "retryIn": None}
    assert (client.peer.knocks, await client.get("asked")) == (1, [False])


async def test_close_while_waiting(client: Client) -> None:
    """close() also ends the wait for a reconnection."""
    line = await opened(client, "first", "second")
    await line.cut()
    await client.told("close")
    await client.tab.run("() => socket.close()")
    await client.passes(3_600)
    assert (client.peer.knocks, await client.get("socket.state")) == (1, "closed")
