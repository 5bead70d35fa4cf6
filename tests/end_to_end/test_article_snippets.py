"""What three articles on WebSocket authentication tell browsers to do, done as printed in real Chromium.

The snippets are the articles' own; only scheme and host are replaced, as nothing here listens on them.
Each runs on a page of an allowed origin, against a guard whose `sources` allow what it uses.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.end_to_end.browser import Tab
from tests.end_to_end.guarded import PASSWORD, guarded, serving, token
from tests.issuing import SteppedClock, claims, signed
from wsauth import Guard

pytestmark = pytest.mark.anyio

SOURCES = ["message", "basic", "insecure_query", "insecure_bare_subprotocol"]

# "the username and password can be sent as part of the initial handshake or as a separate message
# after the connection is established"
BASIC_AS_A_MESSAGE = """
var socket = new WebSocket("ws://HOST/ws");
socket.onopen = function() {
 socket.send(JSON.stringify({ type: "auth", username: USERNAME, password: PASSWORD }));
};
"""
BASIC_AS_A_HEADER_IN_A_MESSAGE = """
var socket = new WebSocket("ws://HOST/ws");
socket.onopen = function() {
 socket.send("Authorization: Basic " + btoa(USERNAME + ":" + PASSWORD));
};
"""
IN_BAND = """
// JavaScript client WebSocket auth message
const socket = new WebSocket("wss://example.com/ws");
socket.onopen = function() {
 socket.send(JSON.stringify({
 type: "auth",
 token: localStorage.getItem("accessToken")
 }));
};
"""
IN_BAND_RENEWAL = """
// Client: handle auth error and renew token
socket.onmessage = function(event) {
 const msg = JSON.parse(event.data);
 if (msg.type === "auth_error") {
 refreshToken().then(newToken => {
 socket.send(JSON.stringify({ type: "auth", token: newToken }));
 });
 }
};
"""
IN_THE_QUERY = """
var ws = new WebSocket("ws://wss.tinywan.com?authorization=" + ACCESS_TOKEN);
ws.onopen = function(evt) {
ws.send("认证授权和实现思路");
};
"""
AFTER_CONNECTING = """
var ws = new WebSocket("ws://wss.tinywan.com");
ws.addEventListener('open', (event) => {
ws.send('Authorization: Bearer ' + ACCESS_TOKEN);
});
"""
AS_A_SUBPROTOCOL = """
const access_token = localStorage.getItem('access_token');
var ws = new WebSocket("ws://wss.tinywan.com", [access_token]);
"""
# What the articles leave to their readers: where the tokens are, and looking at what happens.
WATCH = """() => {
  window.seen = [];
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...offer) {
      super(...offer);
      this.addEventListener("open", () => seen.push("open"));
      this.addEventListener("message", ({ data }) => seen.push(data));
      this.addEventListener("close", ({ code, reason }) => seen.push(`closed ${code} ${reason.split(";")[0]}`));
    }
  };
}"""


class Reader:
    """Somebody who pastes a snippet into a page."""

    def __init__(self, tab: Tab, guard: Guard, clock: SteppedClock, host: str) -> None:
        """Take the page, and what listens."""
        self.tab = tab
        self.guard = guard
        self.clock = clock
        self._host = host

    async def paste(self, snippet: str, **given: str) -> None:
        """Run a snippet on our host, with those names set in the page and in its storage."""
        await self.tab.run("(given) => { Object.assign(window, given); Object.assign(localStorage, given); }", given)
        for address in ("wss://example.com", "ws://wss.tinywan.com", "ws://HOST"):
            snippet = snippet.replace(address, f"ws://{self._host}")
        await self.tab.page.add_script_tag(content=snippet)

    async def sees(self, found: str) -> Any:
        """Wait until a message contains that, and return it."""
        return await self.tab.until("(part) => seen.find((message) => message.includes(part))", found)

    async def talks(self, socket: str, text: str = '{"hello":1}') -> None:
        """Send a message and wait for its echo, byte for byte."""
        await self.tab.run("([name, text]) => eval(name).send(text)", [socket, text])
        assert await self.sees(text) == text


@pytest.fixture
async def reader(chromium_tab: Tab) -> AsyncGenerator[Reader]:
    """Open a page, and guard an echo that allows what the articles use."""
    async with reading(chromium_tab, SOURCES) as someone:
        yield someone


@asynccontextmanager
async def reading(tab: Tab, sources: list[str]) -> AsyncGenerator[Reader]:
    """Guard an echo with those sources."""
    clock = SteppedClock()
    guard = guarded([tab.origin], clock, sources=sources)
    await tab.run(WATCH)
    async with serving(guard) as host:
        yield Reader(tab, guard, clock, host)


@pytest.mark.parametrize("snippet", [BASIC_AS_A_MESSAGE, BASIC_AS_A_HEADER_IN_A_MESSAGE])
async def test_article_1_password(reader: Reader, snippet: str) -> None:
    """Username and password in a message after the connection are a login; then messages pass."""
    await reader.paste(snippet, USERNAME="alice", PASSWORD=PASSWORD)
    assert '"subject":"alice"' in (await reader.sees("auth_success")).replace(" ", "")
    await reader.talks("socket")


@pytest.mark.parametrize("snippet", [BASIC_AS_A_MESSAGE, BASIC_AS_A_HEADER_IN_A_MESSAGE])
async def test_article_1_wrong_password(reader: Reader, snippet: str) -> None:
    """Mallory's guess is refused with its reason, and nothing passes."""
    await reader.paste(snippet, USERNAME="alice", PASSWORD="guessed")
    assert "credentials_invalid" in await reader.sees("auth_error")
    await reader.tab.run("() => socket.send('let me in')")
    await reader.sees('"attempts_left":1')
    assert "let me in" not in await reader.tab.run("() => seen")


async def test_article_2_token_in_band(reader: Reader) -> None:
    """Step 3: the token from localStorage, sent on open, authenticates; then messages pass."""
    await reader.paste(IN_BAND, accessToken=token(reader.clock))
    assert "alice" in await reader.sees("auth_success")
    await reader.talks("socket")


async def test_article_2_invalid_token(reader: Reader) -> None:
    """Step 4: an invalid token is told so by an auth_error, and nothing passes."""
    await reader.paste(IN_BAND, accessToken="eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")
    assert "token_invalid" in await reader.sees("auth_error")
    await reader.tab.run("() => socket.send('let me in')")
    await reader.sees('"attempts_left":1')
    assert "let me in" not in await reader.tab.run("() => seen")


async def test_article_2_renewal(reader: Reader) -> None:
    """Step 5: a token that ends on the open socket is told so, and renewed there; then messages pass again."""
    await reader.paste("function refreshToken() { return new Promise((done) => { window.refreshed = done; }); }")
    await reader.paste(IN_BAND + IN_BAND_RENEWAL, accessToken=token(reader.clock, ttl=60))
    await reader.sees("auth_success")
    await reader.talks("socket")
    reader.clock.advance(61)
    error = await reader.sees("auth_error")
    assert "token_expired" in error
    assert '"closing":false' in error.replace(" ", "")
    await reader.tab.run("""() => socket.send('{"held":1}')""")
    await reader.tab.run("(token) => refreshed(token)", token(reader.clock))
    assert await reader.sees('{"held":1}') == '{"held":1}'
    await reader.talks("socket", '{"again":1}')
    successes = await reader.tab.run("() => seen.filter((message) => message.includes('auth_success')).length")
    assert successes == 2


async def test_article_2_renewal_of_an_expired_token(reader: Reader) -> None:
    """Step 5, from the start: where the stored token has already ended, the refreshed one opens the socket."""
    expired = signed(claims(iat=int(reader.clock.now()) - 600, exp=int(reader.clock.now()) - 300))
    await reader.paste("async function refreshToken() { return newToken; }", newToken=token(reader.clock))
    await reader.paste(IN_BAND + IN_BAND_RENEWAL, accessToken=expired)
    assert "token_expired" in await reader.sees("auth_error")
    await reader.sees("auth_success")
    await reader.talks("socket")


async def test_article_3_query(reader: Reader) -> None:
    """Method 1: a token in the query opens the socket, and its first message comes back as it was."""
    await reader.paste(IN_THE_QUERY, ACCESS_TOKEN=token(reader.clock))
    assert await reader.sees("认证授权和实现思路") == "认证授权和实现思路"


async def test_article_3_token_in_the_address(reader: Reader) -> None:
    """The address in the article's prose works too."""
    await reader.paste(
        'var ws = new WebSocket("ws://wss.tinywan.com/socket?token=" + ACCESS_TOKEN);',
        ACCESS_TOKEN=token(reader.clock),
    )
    await reader.sees("open")
    await reader.talks("ws")


async def test_article_3_first_message(reader: Reader) -> None:
    """Method 2: the line 'Authorization: Bearer …' as the first message authenticates; then messages pass."""
    await reader.paste(AFTER_CONNECTING, ACCESS_TOKEN=token(reader.clock))
    assert "alice" in await reader.sees("auth_success")
    await reader.talks("ws")


async def test_article_3_subprotocol(reader: Reader) -> None:
    """Method 3: a token as the only subprotocol opens the socket, and is answered, since Chromium needs it."""
    offered = token(reader.clock)
    await reader.paste(AS_A_SUBPROTOCOL, access_token=offered)
    await reader.sees("open")
    assert await reader.tab.run("() => ws.protocol") == offered
    await reader.talks("ws")


@pytest.mark.parametrize("snippet", [IN_THE_QUERY, AS_A_SUBPROTOCOL])
async def test_article_3_forged_token(reader: Reader, snippet: str) -> None:
    """A token that Mallory signed opens nothing, in either method of the handshake."""
    forged = signed(claims(sub="alice"), key="mallory's own secret, which is long enough")
    await reader.paste(snippet, ACCESS_TOKEN=forged, access_token=forged)
    assert await reader.sees("closed") == "closed 3000 token_invalid"
    assert "认证授权和实现思路" not in await reader.tab.run("() => seen")


@pytest.mark.parametrize(
    ("snippet", "end"),
    [(IN_THE_QUERY, "closed 3000 credentials_in_query"), (AS_A_SUBPROTOCOL, "closed 1006 ")],
)
async def test_article_3_unless_allowed(chromium_tab: Tab, snippet: str, end: str) -> None:
    """What is insecure has to be asked for: with the default sources neither method opens a socket."""
    async with reading(chromium_tab, ["header", "message"]) as reader:
        good = token(reader.clock)
        await reader.paste(snippet, ACCESS_TOKEN=good, access_token=good)
        assert await reader.sees("closed") == end
        assert "认证授权和实现思路" not in await reader.tab.run("() => seen")
