"""ATTACKS.md, LG-01 with LG-02, LG-03, LG-06, LG-07 and LG-14, at the real server with everything logged at DEBUG.

A canary stands in every secret slot. What the process wrote, every file beside the key file, the metrics, the command
line and all that reached a backend are searched for each of them, as it is and encoded. The library alone, on every
server, is in `tests/end_to_end/test_canary.py`.
"""

import asyncio
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.attacks.gateway import ORIGIN, SPEAKS, Site, auth, gateway
from tests.attacks.wire import frame, request, wire
from tests.leaks import secret as register
from tests.wsauth_sockets import new_password

SOURCES = '["header", "basic", "cookie", "ticket", "subprotocol", "message", "insecure_query"]'
CONFIG = f"""
[server]
origins = ["{ORIGIN}"]

[[routes]]
path = "/ws"
upstream = "ws://127.0.0.1:{{echo}}"

[[routes]]
path = "/played"
upstream = "ws://127.0.0.1:{{played}}"
sources = {SOURCES}

[[routes]]
path = "/application"
upstream = "asgi:tests.attacks.verbose:application"
sources = {SOURCES}

[[routes]]
path = "/gone"
upstream = "ws://127.0.0.1:9"
sources = {SOURCES}
"""
HUGE = 1_000_000
FEWEST = 12
"""Bytes; a shorter piece of an encoded secret is found by chance."""


def encodings(value: bytes) -> Iterator[bytes]:
    """Return a secret in all the forms in which it might be written: as it is, escaped, in hex, in base64."""
    yield value
    yield quote(value, safe="").encode()
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for before in range(3):  # base64 of something that holds it is one of three
        skip = -(-8 * before // 6)
        for encode in (b64encode, urlsafe_b64encode):
            yield encode(bytes(before) + value).rstrip(b"=")[skip:-1]


@dataclass
class Canaries:
    """Draw secrets and remember them.

    Attributes:
        drawn: each secret, by the slot it is for.
    """

    drawn: dict[str, bytes] = field(default_factory=dict)

    def note(self, slot: str, value: str) -> str:
        """Remember a secret."""
        self.drawn[slot] = value.encode()
        return register(value, f"the canary {slot!r}")

    def opaque(self, slot: str) -> str:
        """Return a new secret."""
        return self.note(slot, f"canary{token_hex(12)}")

    def token(self, slot: str, value: str) -> str:
        """Remember a token, its claims and its signature apart."""
        _, claims, signature = value.split(".")
        self.note(f"{slot}: claims", claims[20:60])
        self.note(f"{slot}: signature", signature[:20])
        return value

    def found_in(self, written: bytes) -> list[str]:
        """Return the slots whose secrets were written, in whatever form."""
        forms = {slot: [each for each in encodings(value) if len(each) >= FEWEST] for slot, value in self.drawn.items()}
        return [slot for slot, them in forms.items() if any(each in written for each in them)]


@dataclass
class Sweep:
    """Be a site, and everybody who presents canaries to it."""

    site: Site
    canaries: Canaries
    http: httpx2.AsyncClient
    statuses: list[int] = field(default_factory=list)

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> httpx2.Response:
        """Ask the API."""
        reply = await self.http.post(path, json=body, headers=headers)
        self.http.cookies.clear()
        self.statuses.append(reply.status_code)
        return reply

    async def login(self, name: str, password: str, slot: str, *, cookie: bool = False) -> dict[str, str]:
        """Log in, and return all that the answer holds, cookies among it."""
        reply = await self.post(
            "/auth/login", {"username": name, "password": password, "cookie": cookie}, Origin=ORIGIN
        )
        assert reply.status_code == 200, reply.text
        return self.held(reply, slot)

    def held(self, reply: httpx2.Response, slot: str) -> dict[str, str]:
        """Remember what an answer of the API has people hold, and return it."""
        held = {name: value for name, value in reply.json().items() if re.search(r"token\Z|ticket\Z", name)}
        for each in reply.headers.get_list("set-cookie"):
            name, _, value = each.partition(";")[0].partition("=")
            held["device" if name.endswith("-device") else "cookie"] = f"{name}={value}"
        for name, value in held.items():
            if value.count(".") == 2 and name == "access_token":
                self.canaries.token(f"{slot}: {name}", value)
            else:
                self.canaries.note(f"{slot}: {name}", value.partition("=")[2] or value)
        return held

    async def ticket(self, token: str, slot: str) -> str:
        """Return a new ticket."""
        return self.held(await self.post("/auth/ticket", {}, Authorization=f"Bearer {token}"), slot)["ticket"]

    async def shake(self, path: str, *lines: str, then: str = "hello") -> None:
        """Try a handshake, and say something where it is let in."""
        async with wire(self.site.port, request(path, *lines)) as client:
            answer = await client.answer()
            self.statuses.append(answer.status)
            if answer.status == 101:
                client.send(frame(then))
                await client.cut(within=0.2)

    async def talk(self, *said: bytes, path: str = "/application") -> None:
        """Say these on a connection that waits for authentication."""
        async with wire(self.site.port, request(path, SPEAKS)) as client:
            assert (await client.answer()).status == 101
            client.send(*said)
            await client.cut(within=0.5)


def basic(name: str, password: str) -> str:
    """Return the header of RFC 7617."""
    return f"Authorization: Basic {b64encode(f'{name}:{password}'.encode()).decode()}"


async def at_the_api(sweep: Sweep, password: str) -> tuple[dict[str, str], dict[str, str]]:
    """Present canaries over HTTP, good and wrong, and return a login with tokens and one with a cookie."""
    opaque = sweep.canaries.opaque
    tokens, page = (
        await sweep.login("alice", password, "tokens"),
        await sweep.login("alice", password, "page", cookie=True),
    )
    await sweep.post("/auth/login", {"username": "alice", "password": opaque("wrong password")})
    await sweep.post("/auth/login", {"username": opaque("password for a name"), "password": opaque("no user's")})
    await sweep.post("/auth/login", {"username": "alice", "password": opaque("huge password") + "A" * 50_000})
    await sweep.post("/auth/login", {"username": "alice", "password": [opaque("password in a list")]})
    await sweep.post("/auth/login", {"username": "alice", "passwort": opaque("unknown member")})
    await sweep.http.post("/auth/login", content=f'{{"password":"{opaque("cut off")}')
    await sweep.post("/auth/refresh", {"refresh_token": opaque("wrong refresh token")})
    renewed = await sweep.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    tokens = sweep.held(renewed, "renewed")
    await sweep.post("/auth/refresh", {"refresh_token": opaque("huge refresh token") + "A" * HUGE})
    await sweep.post("/auth/ticket", {}, Authorization=f"Bearer {opaque('wrong bearer')}")
    await sweep.post("/auth/ticket", {}, Cookie=page["cookie"], Origin=ORIGIN)
    wrong = opaque("wrong CSRF token")
    await sweep.post("/auth/ticket", {}, **{"Cookie": page["cookie"], "Origin": ORIGIN, "X-CSRF-Token": wrong})
    changed = sweep.canaries.note("new password", new_password("alice"))
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    old = opaque("wrong old password")
    await sweep.http.put("/auth/password", json={"current_password": old, "new_password": changed}, headers=bearer)
    for name in ("ticket", "token", "access_token", "password", "refresh_token", "api_key"):
        await sweep.http.get(f"/auth/me?{name}={opaque(f'{name} in the query of the API')}")
        await sweep.http.get(f"/nowhere?{name}={opaque(f'{name} in the query of nothing')}")
    async with httpx2.AsyncClient(base_url=sweep.site.serving.admin, trust_env=False) as admin:
        await admin.get("/admin/api/users", headers={"Authorization": f"Bearer {opaque('wrong key of an admin')}"})
    return tokens, page


async def at_the_gateway(sweep: Sweep, password: str, tokens: dict[str, str], page: dict[str, str], key: str) -> None:
    """Present canaries in every slot of a handshake and of messages, good and wrong."""
    canaries, opaque = sweep.canaries, sweep.canaries.opaque
    token, forged = tokens["access_token"], canaries.token("forged", sweep.site.forged())
    offer, right, wrong = f"{SPEAKS}, wsauth.", basic("alice", password), basic("alice", opaque("wrong in Basic"))
    for path in ("/played", "/application", "/gone"):
        await asyncio.gather(
            *(
                sweep.shake(path, f"Authorization: Bearer {each}")
                for each in (token, forged, key, opaque(f"no token {path}"))
            ),
            *(sweep.shake(path, each) for each in (right, wrong)),
            *(sweep.shake(path, f"{offer}bearer.{each}") for each in (token, forged)),
            *(sweep.shake(f"{path}?{name}={each}") for name in ("token", "access_token") for each in (token, forged)),
            sweep.shake(path, f"Cookie: {page['cookie']}; {page['device']}", f"Origin: {ORIGIN}"),
            sweep.shake(path, f"Cookie: {page['cookie']}", "Origin: https://evil.example"),
            sweep.shake(f"{path}?ticket={await sweep.ticket(token, f'ticket {path}')}&x=1"),
            sweep.shake(path, f"{offer}ticket.{await sweep.ticket(token, f'ticket offered {path}')}"),
            sweep.shake(f"{path}?x=1&ticket={opaque(f'wrong ticket {path}')}"),
            sweep.shake(path, f"Authorization: Bearer {opaque(f'long token {path}')}{'A' * 7_000}"),
        )
    await sweep.shake("/application", f"Authorization: Bearer {token}", then="boom")
    await asyncio.gather(
        *(sweep.shake(f"/ws?{name}={opaque(f'refused {name}')}") for name in ("token", "access_token")),
        sweep.shake(f"/ws?tick%65t={opaque('escaped name')}"),
        sweep.shake("/ws", f"Authorization: Bearer {token}", f"Authorization: Bearer {opaque('second header')}"),
        sweep.shake("/ws", f"Authorization: {opaque('no scheme')}"),
        sweep.shake("/ws", f"Sec-WebSocket-Protocol: wsauth.v1, wsauth.bearer.{opaque('malformed offer')}!"),
    )
    for path in ("/played", "/application"):
        await asyncio.gather(
            sweep.talk(auth(token=token), auth(token=token), frame("boom"), path=path),
            sweep.talk(auth(token=forged), path=path),
            sweep.talk(auth(username="alice", password=password), path=path),
            sweep.talk(auth(username="alice", password=opaque(f"wrong in a message {path}")), path=path),
            sweep.talk(auth(ticket=await sweep.ticket(token, f"ticket in a message {path}")), path=path),
            sweep.talk(auth(token=opaque(f"huge {path}") + "A" * HUGE), path=path),
            sweep.talk(frame(f'{{"type":"auth","token":"{opaque(f"unfinished {path}")}'), path=path),
            sweep.talk(frame(f"Authorization: Bearer {opaque(f'plain text {path}')}"), path=path),
        )


@pytest.fixture
async def sweep(tmp_path: Path) -> AsyncGenerator[Sweep]:
    """Run a gateway whose administrator's password comes by the environment."""
    canaries = Canaries()
    first = canaries.note("password of the first administrator", new_password("admin"))
    async with (
        gateway(tmp_path, CONFIG, environ={"WSAUTH_ADMIN_PASSWORD": first}) as site,
        httpx2.AsyncClient(base_url=site.serving.http, trust_env=False, timeout=20.0) as http,
    ):
        yield Sweep(site, canaries, http)


def kept(folder: Path) -> dict[str, bytes]:
    """Return what all files of a server hold, but for the key file."""
    files = [each for each in folder.iterdir() if each.is_file() and each.name != "wsauth.key"]
    assert {"wsauth.db", "wsauth-audit.db"} <= {each.name for each in files}
    return {each.name: each.read_bytes() for each in files}


def children(pid: int) -> list[int]:
    """Return a process and those that it made."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())]


async def test_lg_01_no_secret_is_written_anywhere(sweep: Sweep) -> None:
    """LG-01: a canary in every slot, and none, however encoded, in a log, file, metric, argument, or at a backend."""
    site, canaries = sweep.site, sweep.canaries
    password = await site.serving.add_user("alice", canaries.note("password", new_password("alice")))
    key = canaries.note("API key", await site.serving.add_service("robot"))
    reader = canaries.note(
        "API key of the metrics", await site.serving.add_service("scraper", grants=["wsauth:metrics"])
    )
    for number, line in enumerate((site.serving.folder / "wsauth.key").read_text("ascii").split()):
        if len(line) >= 2 * FEWEST:
            canaries.note(f"key file {number}", line)
    await sweep.shake("/application", f"Authorization: Bearer {key}")  # from here on everything is logged
    tokens, page = await at_the_api(sweep, password)
    await at_the_gateway(sweep, password, tokens, page, key)
    heads = site.played.heads
    assertions = [value for head in heads for name, value in head.headers if name == "x-wsauth-assertion"]
    backend = json.dumps([[head.start, *head.headers] for head in heads] + [str(each) for each in site.echo.delivered])
    assert canaries.found_in(backend.encode()) == []
    for number, each in enumerate(assertions):
        canaries.token(f"assertion {number}", each)
    async with httpx2.AsyncClient(base_url=site.serving.admin, trust_env=False) as admin:
        metrics = (await admin.get("/metrics", headers={"Authorization": f"Bearer {reader}"})).text
    assert "wsauth_logins_total" in metrics
    arguments = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(site.serving.pid))
    everything = {"output": site.serving.output().encode(), "metrics": metrics.encode(), "arguments": arguments}
    await site.serving.stop()
    everything |= {"output": site.serving.output().encode(), **kept(site.serving.folder)}
    found = {place: slots for place, text in everything.items() if (slots := canaries.found_in(text))}
    assert found == {}
    assert b" DEBUG [" in everything["output"]
    assert b"/application fails with secrets in flight" in everything["output"]
    assert len(heads) >= 10
    assert len(assertions) == len(heads)
    assert {101, 200, 400, 401, 403, 413} <= set(sweep.statuses)
    assert len(canaries.drawn) > 90
