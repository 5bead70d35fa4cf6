"""One short visit to a guarded echo by four clients: what each presents, and what it sees."""

import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.typing import Origin, Subprotocol

from tests.apps.guarding import COOKIE
from tests.end_to_end import curl as curl_program
from tests.end_to_end import node as node_program
from tests.end_to_end.browser import Tab

GOODBYE = "goodbye"


@dataclass(frozen=True)
class Presented:
    """What a visitor brings, and where.

    Attributes:
        query: of the URL, with its `?`.
        authorization: the header of that name.
        cookie: the value of the cookie `COOKIE`; programs then also send the page's Origin.
        offers: subprotocols, in order.
        message: the first message.
    """

    query: str = ""
    authorization: str = ""
    cookie: str = ""
    offers: tuple[str, ...] = ()
    message: str = ""

    def headers(self, origin: str) -> dict[str, str]:
        """Return the headers that a program sends beside the offers."""
        headers = {"Authorization": self.authorization} if self.authorization else {}
        return headers | ({"Cookie": f"{COOKIE}={self.cookie}", "Origin": origin} if self.cookie else {})

    def texts(self) -> list[str]:
        """Return what is said at once, without waiting for an answer."""
        return [self.message, GOODBYE] if self.message else [GOODBYE]


@dataclass
class Seen:
    """What a visitor can see.

    Attributes:
        status: 101 when the socket opened, else of the HTTP response; 0 where a client cannot know it.
        protocol: the subprotocol answered.
        problem: the body of a refusal by HTTP.
        messages: what came, JSON objects decoded; the visit ends by itself once `GOODBYE` is back.
        close: the code, 0 where it was the client who went.
        reason: of the close.
    """

    status: int = 0
    protocol: str = ""
    problem: Mapping[str, Any] = field(default_factory=dict)
    messages: list[Any] = field(default_factory=list)
    close: int = 0
    reason: str = ""

    def hear(self, text: str) -> None:
        """Note a message."""
        self.messages.append(json.loads(text) if text.startswith("{") else text)


Visit = Callable[[str, str, Presented], Coroutine[Any, Any, Seen]]
"""Takes the socket's URL, the page's origin, and what is presented."""

SCRIPT = """({ url, offers, texts, options, goodbye }) => new Promise((resolve) => {
  const seen = { status: 0, protocol: "", problem: "", messages: [], close: 0, reason: "" };
  const socket = new WebSocket(url, offers, options);
  socket.onopen = () => {
    seen.status = 101;
    seen.protocol = socket.protocol;
    for (const text of texts) socket.send(text);
  };
  socket.onmessage = ({ data }) => {
    seen.messages.push(data);
    if (data === goodbye) resolve(seen), socket.close();
  };
  socket.onerror = () => {};
  socket.onclose = ({ code, reason }) => resolve({ ...seen, close: code, reason });
  socket.on?.("unexpected-response", async (_, response) => {
    seen.status = response.statusCode;
    for await (const part of response) seen.problem += part;
    resolve(seen);
  });
})"""
"""The same for a page and for the npm package ws, which alone knows options and unexpected-response."""
NODE_SCRIPT = f"""import WebSocket from "ws";
const visit = {SCRIPT};
console.log(JSON.stringify(await visit(JSON.parse(process.argv[2]))));"""


def _asked(url: str, presented: Presented, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "url": url + presented.query,
        "offers": presented.offers,
        "texts": presented.texts(),
        "options": options,
        "goodbye": GOODBYE,
    }


def _seen(told: Mapping[str, Any]) -> Seen:
    problem = json.loads(told["problem"] or "{}")
    seen = Seen(told["status"], told["protocol"], problem, [], told["close"], told["reason"])
    for text in told["messages"]:
        seen.hear(text)
    return seen


def by_chromium(tab: Tab) -> Visit:
    """Visit from a page, on its own origin whatever one says; the page sets the cookie."""

    async def visit(url: str, _origin: str, presented: Presented) -> Seen:
        if presented.cookie:
            await tab.run("(cookie) => { document.cookie = cookie; }", f"{COOKIE}={presented.cookie}; SameSite=Strict")
        headers = {"Authorization": presented.authorization}  # which no browser takes
        return _seen(await tab.run(SCRIPT, _asked(url, presented, {"headers": headers})))

    return visit


def by_ws(node: Path) -> Visit:
    """Visit from Node with the npm package ws."""

    async def visit(url: str, origin: str, presented: Presented) -> Seen:
        asked = _asked(url, presented, {"headers": presented.headers(origin)})
        (line,) = await node_program.run(node, NODE_SCRIPT, json.dumps(asked))
        return _seen(json.loads(line))

    return visit


async def by_websockets(url: str, origin: str, presented: Presented) -> Seen:
    """Visit with the Python library websockets."""
    headers = presented.headers(origin)
    page = headers.pop("Origin", "")
    seen = Seen()
    try:
        async with connect(
            url + presented.query,
            origin=Origin(page) if page else None,
            subprotocols=[Subprotocol(offer) for offer in presented.offers] or None,
            additional_headers=headers,
            proxy=None,
        ) as socket:
            seen.status, seen.protocol = 101, socket.subprotocol or ""
            with suppress(ConnectionClosed):  # what came before the close is still to be read
                for text in presented.texts():
                    await socket.send(text)
            while GOODBYE not in seen.messages:
                seen.hear(await socket.recv(decode=True))
    except InvalidStatus as error:
        seen.status, seen.problem = error.response.status_code, json.loads(error.response.body or b"{}")
    except ConnectionClosed as end:
        received = end.rcvd or Close(1006, "")
        seen.close, seen.reason = received.code, received.reason
    return seen


def by_curl(curl: Path) -> Visit:
    """Visit with curl, which cannot say a word: the visit ends with the application's greeting."""

    async def visit(url: str, origin: str, presented: Presented) -> Seen:
        headers = presented.headers(origin)
        if presented.offers:
            headers["Sec-WebSocket-Protocol"] = ", ".join(presented.offers)
        address = url.replace("ws://", "http://") + presented.query
        async with curl_program.upgrading(curl, address, headers) as answer:
            seen = Seen(answer.status, answer.headers.get("sec-websocket-protocol", ""))
            if answer.status != 101:
                seen.problem = json.loads(await answer.body())
                return seen
            while not seen.messages or isinstance(seen.messages[-1], dict):
                opcode, payload = await answer.frame()
                if opcode == curl_program.CLOSE:
                    seen.close, seen.reason = int.from_bytes(payload[:2]), payload[2:].decode()
                    break
                assert opcode == curl_program.TEXT
                seen.hear(payload.decode())
        return seen

    return visit
