"""The browser client in a page whose clock the test moves, and whose dice always show a half."""

from typing import Any

from tests.end_to_end.browser import Tab
from tests.end_to_end.scripted_peer import Line, ScriptedPeer

CONNECT = """async ({ url, tokens, options, cookie }) => {
  Math.random = () => 0.5;
  window.log = [];      // [event, what it told]
  window.asked = [];    // getToken's fresh, each time
  window.tokens = tokens;
  const { connect } = await import("/wsauth.js");
  const getToken = async ({ fresh }) => {
    asked.push(fresh);
    const token = window.tokens.shift();
    if (token === "offline") throw new Error("offline");
    return token;
  };
  window.socket = connect(url, { ...(cookie ? {} : { getToken }), ...options });
  for (const type of ["open", "renewed", "changed", "refusal", "close"])
    socket.addEventListener(type, ({ detail }) => log.push([type, JSON.parse(JSON.stringify(detail))]));
  socket.addEventListener("message", ({ data }) => log.push(["message", data]));
}"""


class Client:
    """The module in a page, its clock in the test's hand."""

    def __init__(self, tab: Tab, peer: ScriptedPeer) -> None:
        """Wait for `connect`."""
        self.tab = tab
        self.peer = peer

    async def connect(self, *tokens: object, url: str = "", cookie: bool = False, **options: object) -> None:
        """Connect, to the peer if nowhere else; getToken gives those tokens in their order, and fails at "offline"."""
        told = {"url": url or self.peer.url, "tokens": tokens, "options": options, "cookie": cookie}
        await self.tab.run(CONNECT, told)

    async def told(self, event: str, count: int = 1) -> Any:
        """Wait until an event has come that often; return what the last one told."""
        seen = await self.tab.until(
            "([type, n]) => { const s = log.filter(([t]) => t === type); return s.length >= n && s; }",
            [event, count],
        )
        assert len(seen) == count
        return seen[-1][1]

    async def passes(self, seconds: float) -> None:
        """Move the page's clock."""
        await self.tab.page.clock.run_for(round(seconds * 1000))

    async def get(self, expression: str) -> Any:
        """Read something in the page."""
        return await self.tab.run(f"() => {expression}")


async def opened(client: Client, *tokens: object, **members: object) -> Line:
    """Connect and let Alice in."""
    await client.connect(*tokens)
    line = await client.peer.line()
    await line.admit(**members)
    await client.told("open")
    return line
