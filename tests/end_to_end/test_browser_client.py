"""src/wsauth/browser/wsauth.js in real Chromium against a peer that plays the server: tokens and messages."""

import gzip
import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.client_page import Client, opened
from tests.end_to_end.scripted_peer import IDENTITY, RIGHTS
from wsauth.browser import SCRIPT

pytestmark = pytest.mark.anyio

LEASE = {**IDENTITY, **RIGHTS}
SLOW = "() => { tokens[0] = new Promise((give) => { window.give = give; }); }"


def test_it_stays_small() -> None:
    """The module has at most 3,000 bytes gzipped, as it is served."""
    assert len(gzip.compress(SCRIPT.read_bytes(), 9)) <= 3_000


async def test_a_token_goes_in_band_only(client: Client) -> None:
    """The token is in the first message, and neither in the URL nor among the subprotocols."""
    await client.connect("good", protocols=["chat.v2"])
    line = await client.peer.line()
    assert (line.path, line.offers) == ("/ws", ["wsauth.v1", "chat.v2"])
    await line.require()
    assert await line.hear() == {"type": "auth", "token": "good"}
    await line.grant(session_id="s1", expires_in=300, renew_in=200)
    assert await client.told("open") == {**LEASE, "sessionId": "s1", "expiresAt": 301_000}
    assert await client.get("socket.ready") == {**LEASE, "sessionId": "s1", "expiresAt": 301_000}
    assert await client.get("asked") == [False]


@pytest.mark.parametrize("credential", [{"ticket": "t"}, {"username": "alice", "password": "p"}])
async def test_other_credentials(client: Client, credential: dict[str, str]) -> None:
    """getToken may give a ticket, or a username with its password."""
    await client.connect(credential)
    line = await client.peer.line()
    await line.require()
    assert await line.hear() == {"type": "auth", **credential}


async def test_a_cookie_needs_no_token(client: Client) -> None:
    """Without getToken the handshake's own credentials count, and nothing is renewed by a message."""
    await client.connect(cookie=True)
    line = await client.peer.line()
    await line.grant(expires_in=300, renew_in=200)
    await client.told("open")
    await client.passes(250)
    await line.say("auth_expiring", expires_in=30)
    await client.tab.run("() => socket.send('after')")
    assert await line.hear() == "after"
    assert await client.get("log.length") == 1


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"auth_success"}',
        '{"type":"auth_success","of":"wsauth"}',
        '{"type":"auth_success","wsauth":2}',
        '{"type":"author","wsauth":1}',
        'say "wsauth" to {',
        '{"wsauth":1}',
        "[1]",
        "",
    ],
)
async def test_the_applications_messages_are_untouched(client: Client, message: str) -> None:
    """What is not a control message reaches the application as it was sent."""
    line = await opened(client, "good")
    await line.send(message)
    assert await client.told("message") == message


async def test_binary_messages(client: Client) -> None:
    """A binary message arrives in the form that was asked for."""
    await client.connect("good", binaryType="arraybuffer")
    line = await client.peer.line()
    await line.admit()
    await client.tab.run("() => socket.addEventListener('message', ({ data }) => { window.bytes = data; })")
    await line.send(b"\x00\xff")
    assert await client.tab.until("() => window.bytes && [...new Uint8Array(window.bytes)]") == [0, 255]


async def test_control_messages_do_not_reach_the_application(client: Client) -> None:
    """Every control message, also of a type from the future, stays out of the application's handler."""
    line = await opened(client, "good", later="unknown")
    await line.say("auth_changed", roles=["guest"], permissions=[])
    await line.say("auth_refused", code="message_invalid", message=17, detail="room: is required", id="r1")
    await line.say("auth_of_tomorrow", roles=["admin"])
    await line.send("last")
    assert await client.told("message") == "last"
    assert await client.told("changed") == {**LEASE, "roles": ["guest"], "permissions": []}
    refusal = await client.told("refusal")
    assert (refusal["code"], refusal["error"], refusal["index"]) == ("message_invalid", "room: is required", 17)
    assert await client.get("socket.lease.roles") == ["guest"]


async def test_sending_before_the_lease(client: Client) -> None:
    """Nothing can be sent before there is a lease; it is an exception, not a lost message."""
    await client.connect("good")
    line = await client.peer.line()
    await line.require()
    refused = await client.get("{ try { socket.send('early') } catch (error) { return error.message } }")
    assert refused == "The socket is connecting"


async def test_renewal_at_its_time(client: Client) -> None:
    """A fresh token is sent renew_in seconds after the success, not before, and again after the next one."""
    line = await opened(client, "first", "second", "third", expires_in=300, renew_in=200)
    await client.passes(199)
    assert await client.get("asked") == [False]
    await client.passes(1)
    assert await line.hear() == {"type": "auth", "token": "second"}
    await line.grant(expires_in=300, renew_in=100)
    assert (await client.told("renewed"))["expiresAt"] == 501_000
    await client.passes(100)
    assert await line.hear() == {"type": "auth", "token": "third"}
    assert await client.get("asked") == [False, True, True]


async def test_expiring_renews_once(client: Client) -> None:
    """auth_expiring renews where no renewal is under way, and does nothing where one is."""
    line = await opened(client, "first", "second", "third")
    await line.say("auth_expiring", expires_in=30)
    await line.say("auth_expiring", expires_in=20)
    assert await line.hear() == {"type": "auth", "token": "second"}
    await line.say("auth_expiring", expires_in=10)
    await line.send("mark")
    await client.told("message")
    assert await client.get("asked") == [False, True]


async def test_expiry_on_the_open_socket(client: Client) -> None:
    """The end of the lease makes the socket stale, and a fresh token opens it again."""
    line = await opened(client, "first", "second")
    await line.refuse("token_expired", "refresh")
    assert (await client.told("refusal"))["closing"] is False
    assert await client.get("socket.state") == "stale"
    assert await line.hear() == {"type": "auth", "token": "second"}
    await line.grant()
    await client.told("renewed")
    assert await client.get("socket.state") == "open"


@pytest.mark.parametrize(("code", "action"), [("token_expired", "refresh"), ("token_invalid", "login")])
async def test_a_bad_token_is_tried_afresh_once(client: Client, code: str, action: str) -> None:
    """A refused token is followed by one fresh token; the second refusal is final, and says why."""
    await client.connect("bad", "worse", "never")
    line = await client.peer.line()
    await line.require()
    assert (await line.hear())["token"] == "bad"
    await line.refuse(code, action, attempts_left=2)
    assert (await line.hear())["token"] == "worse"
    await line.refuse(code, action, attempts_left=1)
    assert await line.gone() == (1000, "")
    closed = await client.told("close")
    assert closed["retryIn"] is None
    assert closed["refusal"] == {
        "code": code,
        "action": action,
        "id": "a1B2c3D4e5F6",
        "error": f"{code}, in words",
        "closing": False,
        "attemptsLeft": 1,
    }
    assert await client.get("socket.ready.catch((refusal) => refusal.code)") == code
    assert await client.get("asked") == [False, True]


async def test_a_retry_on_the_open_socket(client: Client) -> None:
    """An error that says retry is followed by a fresh credential after retry_after and a jitter."""
    line = await opened(client, "first", "second", renew_in=10)
    await line.refuse("rate_limited", "retry", retry_after=5)
    await client.told("refusal")
    await client.passes(5.2)
    assert await client.get("asked") == [False]
    await client.passes(0.1)
    assert (await line.hear())["token"] == "second"


async def test_an_offline_token_source(client: Client) -> None:
    """Where getToken fails, a pending socket begins anew and an open one asks again; nothing is uncaught."""
    await client.connect("offline", "first", "offline", "second")
    await (await client.peer.line()).require()
    assert (await client.told("close"))["retryIn"] == 250
    await client.passes(0.25)
    line = await client.peer.line()
    await line.admit(renew_in=100)
    await client.told("open")
    await client.passes(100)
    await client.passes(0.5)
    assert (await line.hear())["token"] == "second"
    await line.grant()
    await client.told("renewed")


async def test_nobody_is_logged_in(client: Client) -> None:
    """Where getToken gives null nothing is sent, and the refusal asks for a login."""
    await client.connect(None, "later")
    line = await client.peer.line()
    await line.require()
    assert await line.gone() == (1000, "")
    assert (await client.told("refusal"))["code"] == "credentials_missing"
    assert (await client.told("close"))["refusal"]["action"] == "login"
    await client.tab.run("() => socket.renew()")
    await client.passes(0)
    assert await (await client.peer.line()).admit() == "later"


async def test_a_token_that_comes_too_late(client: Client) -> None:
    """A token that getToken gives after close() is never sent."""
    await client.connect("replaced")
    await client.tab.run(SLOW)
    line = await client.peer.line()
    await line.require()
    await client.tab.until("() => asked.length")
    await client.tab.run("() => { socket.close(); give('late'); }")
    assert await line.gone() == (1000, "")
    with pytest.raises(ConnectionClosed):
        await line.hear()
    await client.passes(60)
    assert (client.peer.knocks, await client.get("socket.state")) == (1, "closed")


async def test_a_refused_renewal(client: Client) -> None:
    """A renewal that is refused leaves the lease as it is, and is tried once more with a fresh token."""
    line = await opened(client, "first", "old", "fresh", renew_in=100)
    await client.passes(100)
    assert (await line.hear())["token"] == "old"
    await line.refuse("token_expired", "refresh")
    await client.told("refusal")
    assert await client.get("socket.state") == "open"
    assert (await line.hear())["token"] == "fresh"


async def test_closing_on_a_refusal(client: Client) -> None:
    """An application that closes when it hears of a refusal is not asked for another token."""
    await client.connect("bad", "never")
    await client.tab.run("() => socket.addEventListener('refusal', () => socket.close())")
    line = await client.peer.line()
    await line.require()
    await line.hear()
    await line.refuse("token_invalid", "login")
    assert await line.gone() == (1000, "")
    assert await client.get("[socket.state, asked]") == ["closed", [False]]


async def test_one_question_at_a_time(client: Client) -> None:
    """While getToken is still looking for a token it is not asked for another one."""
    line = await opened(client, "first", "replaced", "third")
    await client.tab.run(SLOW)
    await line.say("auth_expiring", expires_in=30)
    await line.say("auth_expiring", expires_in=20)
    await line.refuse("token_expired", "refresh")
    await client.told("refusal")
    await client.tab.run("() => give('slow')")
    assert (await line.hear())["token"] == "slow"
    await line.grant()
    await client.told("renewed")
    assert await client.get("asked") == [False, True]


async def test_tokens_leave_no_trace(client: Client) -> None:
    """LG-15: no token is in storage, cookies, history, console or the object that the application holds."""
    canary = "canary-6f1d"
    line = await opened(client, canary, canary, canary, renew_in=10)
    await client.passes(10)
    await line.hear()
    await line.refuse("token_invalid", "login")
    await client.told("refusal")
    traces = await client.get(
        "[localStorage, sessionStorage, document.cookie, location.href, socket, log,"
        " performance.getEntries().map((entry) => entry.name)].map((trace) => JSON.stringify(trace))"
    )
    assert canary not in json.dumps(traces)
    assert client.tab.console == []
