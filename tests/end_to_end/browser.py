"""Real Chromium, and pages on loopback origins of the test's own choosing."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from wsauth.browser import SCRIPT

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 10.0  # seconds until something awaited counts as missing
EMPTY = b"<!doctype html><meta charset=utf-8><link rel=icon href=data:><title>wsauth</title>"
FILES: Mapping[str, tuple[str, bytes]] = {
    "/": ("text/html; charset=utf-8", EMPTY),
    "/wsauth.js": ("text/javascript; charset=utf-8", SCRIPT.read_bytes()),
}


@asynccontextmanager
async def running(executable: Path) -> AsyncGenerator[Browser]:
    """Run that Chromium, and stop it at the end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def site(files: Mapping[str, tuple[str, bytes]] = FILES, *, host: str = "127.0.0.1") -> AsyncGenerator[str]:
    """Serve files (path to media type and body) on a free loopback port; yields the origin."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            found = files.get(head.split(" ")[1].partition("?")[0])
            status, (media_type, body) = ("200 OK", found) if found else ("404 Not Found", ("text/plain", b""))
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
                f"Cache-Control: no-store\r\nConnection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # Chromium opens connections that it then does not use
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, 0)
    try:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@dataclass(slots=True)
class Tab:
    """A page on a known origin, and everything that it wrote to its console or failed to catch."""

    page: Page
    origin: str
    console: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def run(self, script: str, argument: object = None) -> Any:
        """Evaluate a JavaScript expression or function in the page."""
        return await self.page.evaluate(script, argument)

    async def until(self, condition: str, argument: object = None) -> Any:
        """Wait until a JavaScript function gives something true, and return that."""
        found = await self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE * 1000, polling=10)
        return await found.json_value()


@asynccontextmanager
async def tab(context: BrowserContext, origin: str) -> AsyncGenerator[Tab]:
    """Open a page on that origin; at the end nothing may have been left uncaught in it."""
    page = await context.new_page()
    opened = Tab(page, origin)
    page.on("console", lambda message: opened.console.append(message.text))
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    await page.goto(origin)
    try:
        yield opened
        assert opened.errors == []
    finally:
        await page.close()
