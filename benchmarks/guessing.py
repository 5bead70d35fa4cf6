"""Guess passwords at a real server, and count how many are looked at: `python -m benchmarks.guessing [GUESSES]`.

Everything has its default; the addresses are told by a proxy that is believed, or forged where there is none. Logins by
HTTP and Basic take turns. The honest user logs in meanwhile.
"""

import asyncio
import base64
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.served.process import Server, Site

TOGETHER = 16
CONFIG = """
[[routes]]
path = "/ws"
upstream = "echo"
sources = ["header", "basic", "message"]
"""
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
Ask = Callable[[int], Awaitable[str]]


class Guesser:
    """Try passwords at one server.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def login(self, name: str, password: str, address: str, cookie: str = "") -> tuple[int, str]:
        """Log in by HTTP, and return the status and the device cookie."""
        body = json.dumps({"username": name, "password": password, "cookie": True})
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{cookie}"
        answer = await self._ask("POST /auth/login", head, address, body)
        device = next((line for line in answer.splitlines() if "-device=" in line), "").partition(": ")[2]
        return int(answer[9:12]), device.partition(";")[0]

    async def basic(self, name: str, password: str, address: str) -> int:
        """Shake hands with Basic, and return the status."""
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        return int((await self._ask("GET /ws", f"{HANDSHAKE}Authorization: Basic {pair}\r\n", address))[9:12])

    async def _ask(self, what: str, head: str, address: str, body: str = "") -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        forwarded = f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n"
        writer.write(f"{what} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}{forwarded}\r\n{body}".encode())
        try:
            return (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
        finally:
            writer.close()

    async def guess(self, number: int, name: str, address: str) -> int:
        """Try a wrong password, by HTTP and by Basic in turn."""
        if number % 2:
            return await self.basic(name, f"guess {number}", address)
        return (await self.login(name, f"guess {number}", address))[0]


async def many(guesses: int, one: Callable[[int], Awaitable[int]]) -> Counter[int]:
    """Make so many guesses, a few at a time, and count the statuses."""
    found: Counter[int] = Counter()
    numbers = iter(range(guesses))

    async def run() -> None:
        for number in numbers:
            found[await one(number)] += 1

    await asyncio.gather(*(run() for _ in range(TOGETHER)))
    return found


async def attack(title: str, guesses: int, server: Server, one: Callable[[Guesser, int], Awaitable[int]]) -> None:
    """Make one attack, and print what came of it."""
    guesser, began = Guesser(server.port), time.monotonic()
    found = await many(guesses, lambda number: one(guesser, number))
    seconds = time.monotonic() - began
    looked = found[401]
    others = ", ".join(f"{count} × {status}" for status, count in sorted(found.items()) if status != 401)
    print(f"| {title} | {guesses:,} | **{looked:,}** | {others} | {seconds:.0f} |", flush=True)


async def honest(guesser: Guesser, password: str, address: str, cookie: str = "") -> str:
    """Log the honest user in, and return in words how long it took."""
    began = time.monotonic()
    while True:
        status, _ = await guesser.login("alice", password, address, cookie)
        if status == 200 or time.monotonic() - began > 60:
            took = time.monotonic() - began
            return f"in after {took:.1f} s" if status == 200 else f"not in within {took:.0f} s"
        await asyncio.sleep(1)


async def measure(guesses: int) -> None:
    """Make every attack on a store of its own."""
    print("| attack | guesses | looked at | the rest | seconds |\n|---|---:|---:|---|---:|")
    with tempfile.TemporaryDirectory(prefix="wsauth-guessing-") as place:
        for number, (title, one) in enumerate(ATTACKS.items()):
            site = Site(Path(place) / str(number), CONFIG)
            site.environ = {name: text for name, text in site.environ.items() if "__LIMITS__" not in name}
            if "forged" not in title:
                site.environ["WSAUTH__SERVER__TRUSTED_PROXIES"] = '["127.0.0.1"]'
            password = await site.add_user("alice")
            async with site.serving() as (server,):
                guesser = Guesser(server.port)
                _, device = await guesser.login("alice", password, "198.51.100.1")
                running = asyncio.create_task(attack(title, guesses, server, one))
                await asyncio.sleep(3)
                known = await honest(guesser, password, "198.51.100.2", f"Cookie: {device}\r\n")
                elsewhere = await honest(guesser, password, "198.51.100.3")
                await running
                print(f"| … alice meanwhile: known device {known}; elsewhere {elsewhere} | | | | |", flush=True)


ATTACKS: dict[str, Callable[[Guesser, int], Awaitable[int]]] = {
    "one account, one address": lambda guesser, number: guesser.guess(number, "alice", "203.0.113.9"),
    "one account, 1,000 addresses": lambda guesser, number: guesser.guess(
        number, "alice", f"203.0.{number % 1000 // 250}.{number % 250}"
    ),
    "one password, as many accounts, one address": lambda guesser, number: guesser.guess(
        number, f"user{number}", "203.0.113.9"
    ),
    "one account, forged headers without a proxy": lambda guesser, number: guesser.guess(
        number, "alice", f"203.0.{number % 1000 // 250}.{number % 250}"
    ),
}

if __name__ == "__main__":
    os.nice(5)
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
