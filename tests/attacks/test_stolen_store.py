"""ATTACKS.md, SE-19: Mallory has a copy of the store's file, and not the key file. She tries every value of it."""

import asyncio
import hmac
import json
import sqlite3
import time
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from tests.attacks.plane import ORIGIN, PASSWORD, Page, Plane, bearer, plane, quiet, serves_the_next
from tests.attacks.wire import CLOSE, TEXT, Wire, frame, request, wire
from tests.wsauth_server import command, serving
from wsauth.services.keyfile import KeyFile

CONFIG = """
[server]
origins = ["https://app.example.com"]
drain_timeout = "0s"

[tokens]
algorithm = "{algorithm}"

[[routes]]
path = "/ws"
upstream = "echo"
sources = ["header", "basic", "cookie", "ticket", "subprotocol", "message", "insecure_query"]
"""
Sign = Callable[[bytes], bytes]
SHORTEST = 6
"""Characters from which on a value is long enough to be a credential; a shorter one is a number or a word."""


@dataclass(frozen=True)
class Theft:
    """Be what Mallory has, and what she does not have.

    Attributes:
        server: from which the copy was taken; it runs.
        file: her copy.
        page: the login of Alice's page, which lives.
        token: an access token of Alice's, which lives.
        held: what people hold, which must not be in the file.
    """

    server: Plane
    file: Path
    page: Page
    token: str
    held: Sequence[str]


@pytest.fixture(scope="module", params=["EdDSA", "HS256"])
async def theft(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Theft]:
    """Run a server with logins of every kind, spent tickets and things revoked, and copy its store."""
    folder = tmp_path_factory.mktemp("stolen")
    async with plane(folder, CONFIG.format(algorithm=request.param)) as server:
        page, token, held = await busy(server)
        copy = folder / "copy.db"
        with closing(sqlite3.connect(folder / "wsauth.db")) as store, closing(sqlite3.connect(copy)) as target:
            store.backup(target)
        yield Theft(server, copy, page, token, held)
        await serves_the_next(server)


async def busy(server: Plane) -> tuple[Page, str, list[str]]:
    """Make the store hold something of everything, and return Alice's page and token, and all that people hold."""
    page, login, gone = await server.page("alice"), await server.login("alice"), await server.login("bob")
    held = [page.cookie, page.csrf_token, PASSWORD, *server.keys.values()]
    again = (await server.refresh(login["refresh_token"])).json()
    for each in (login, gone, again):
        held += [each["access_token"], each["refresh_token"]]
    spent, unspent = [await server.ticket(again["access_token"]) for _ in range(2)]
    held += [spent, unspent]
    async with server.open(f"/ws?ticket={spent}") as socket:
        await quiet(socket)
    await server.http.post("/auth/logout", headers=bearer(gone["access_token"]))
    assert (await server.serving.command("users", "disable", "carol")).status == 0
    assert (await server.serving.command("keys", "rotate")).status == 0
    assert (await server.serving.command("sessions", "revoke", "--subject", "dave")).status == 0
    return page, again["access_token"], held


# What is in it.


def cells(file: Path) -> Iterator[object]:
    """Return every value of every column of every table."""
    with closing(sqlite3.connect(file)) as store:
        tables = [name for (name,) in store.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        assert {"users", "sessions", "tickets", "keys", "feed", "facts"} <= set(tables)
        for table in tables:
            for row in store.execute(f'SELECT * FROM "{table}"'):  # noqa: S608  the names are the file's own
                yield from row


def parts(value: object) -> Iterator[str | bytes]:
    """Return a value and everything that is in it: members of JSON, fields of a hash, what base64 stands for."""
    if isinstance(value, bytes):
        yield value
        yield from (value[8:], value[20:], value[-32:], value[:32])
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from parts(name)
            yield from parts(member)
    elif isinstance(value, list):
        for member in value:
            yield from parts(member)
    elif isinstance(value, str):
        yield value
        with suppress(ValueError):
            found = json.loads(value)
            if found != value:
                yield from parts(found)
        if "$" in value:
            yield from (field for field in value.split("$") if field)
        with suppress(ValueError):
            yield urlsafe_b64decode(value + "=" * (-len(value) % 4))
    elif value is not None:
        yield str(value)


def values(file: Path) -> tuple[list[str], list[bytes]]:
    """Return all that Mallory can present as text, and all that she can use as a key."""
    raw = {part for cell in cells(file) for part in parts(cell)}
    texts = {part for part in raw if isinstance(part, str)}
    blobs = {part for part in raw if isinstance(part, bytes) and len(part) >= SHORTEST}
    for blob in blobs:
        texts |= {blob.hex(), b64encode(blob).decode(), encoded(blob), f"wsk_{encoded(blob)}"}
    presentable = sorted(text for text in texts if len(text) >= SHORTEST and text.isascii() and text.isprintable())
    keys = blobs | {text.encode() for text in texts if len(text) >= SHORTEST}
    return presentable, sorted(keys)


def encoded(blob: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(blob).rstrip(b"=").decode()


def forged(theft: Theft, sign: Sign) -> list[tuple[str, str]]:
    """Return what Mallory would sign for Alice if this were the signature, each with the place that it is for."""
    with closing(sqlite3.connect(theft.file)) as store:
        query = "SELECT id, generation FROM sessions WHERE kind = ? AND subject = 'alice'"
        by_cookie, by_tokens = [store.execute(query, (kind,)).fetchone() for kind in ("cookie", "tokens")]
    now = time.time()
    ticket = ["A" * 32, now + 30, "wsauth", "alice", [], [], [], None, None, None, None, {"iat": now}, None, None]
    payload = json.dumps(ticket).encode()
    made = [
        ("handshake by ticket", f"{encoded(payload)}.{encoded(sign(payload))}"),
        ("csrf", encoded(sign(f"csrf.{by_cookie[0]}".encode()))),
    ]
    for place, prefix, session in (("cookie", "wsc", by_cookie), ("refresh", "wsr", by_tokens)):
        message = f"{prefix}.{session[0]}.{session[1]}"
        made.append((place, f"{message}.{encoded(sign(message.encode()))}"))
    return made


def signed(theft: Theft, key: bytes) -> str:
    """Return Alice's own token with a grant of everything, signed with this key."""
    claims = jwt.decode(theft.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(theft.token)
    return jwt.encode({**claims, "grants": ["wsauth:admin"]}, key, "HS256", headers={**header, "alg": "HS256"})


# Where it is tried.


def requests_of(server: Plane, page: Page, value: str) -> dict[str, dict[str, Any]]:
    """Return the requests that present a value, by place."""
    return {
        "bearer": {"url": "/auth/me", "headers": bearer(value)},
        "cookie": {"url": "/auth/me", "headers": {"Cookie": f"{server.cookie}={value}"}},
        "refresh": {"method": "POST", "url": "/auth/refresh", "json": {"refresh_token": value}},
        "csrf": {
            "method": "POST",
            "url": "/auth/ticket",
            "json": {},
            "headers": {**page.headers, "X-CSRF-Token": value},
        },
        "verify": {"url": "/auth/verify", "headers": bearer(value)},
    }


def handshakes_of(server: Plane, value: str) -> dict[str, bytes]:
    """Return the handshakes that present a value, by place."""
    offer = "Sec-WebSocket-Protocol: wsauth.v1, wsauth."
    return {
        "handshake by header": request("/ws", f"Authorization: Bearer {value}"),
        "handshake by cookie": request("/ws", f"Origin: {ORIGIN}", f"Cookie: {server.cookie}={value}"),
        "handshake by ticket": request(f"/ws?ticket={value}"),
        "handshake by query": request(f"/ws?access_token={value}"),
        "handshake by subprotocol": request("/ws", f"{offer}bearer.{protocol(value)}"),
        "handshake by ticket subprotocol": request("/ws", f"{offer}ticket.{value}"),
    }


async def accepted(
    server: Plane, page: Page, value: str, *, admin: httpx2.AsyncClient | None = None, only: str = ""
) -> list[str]:
    """Return where a value is taken for a credential, of all places there are (but for passwords), or of one."""
    found = []
    for place, asked in requests_of(server, page, value).items():
        if only in ("", place):
            reply = await server.http.request(**{"method": "GET", **asked})
            assert reply.status_code < 500, (place, reply.text)
            if reply.status_code < 400:
                found.append(place)
    for place, head in handshakes_of(server, value).items():
        if only in ("", place):
            async with wire(server.port, head) as mallory:
                if (await mallory.answer()).status == 101 and (await opens_by(mallory)):
                    found.append(place)
    if only:
        return found
    if admin is not None and (await admin.get("/admin/api/users", headers=bearer(value))).status_code < 400:
        found.append("admin")
    if await by_message(server, value):
        found.append("message")
    return found


def protocol(token: str) -> str:
    """Return a token as the subprotocol takes it."""
    return token if token.count(".") == 2 else encoded(token.encode())


async def opens_by(mallory: Wire) -> bool:
    """Tell whether an accepted handshake is one that the echo answers, and no refusal that closes."""
    mallory.send(frame("in"))
    while True:
        found = await mallory.frame()
        if found is None or found.opcode == CLOSE:
            return False
        if found.opcode == TEXT:
            return True


async def by_message(server: Plane, value: str) -> bool:
    """Tell whether a value is taken in a message, as a token or as a ticket."""
    async with wire(server.port, request("/ws")) as mallory:
        await mallory.answer()
        await mallory.message("auth_required")
        for slot in ("token", "ticket"):
            mallory.send(frame(json.dumps({"type": "auth", slot: value})))
            if json.loads(await mallory.text())["type"] != "auth_error":
                return True
    return False


async def all_tried(server: Plane, page: Page, tried: Sequence[str]) -> dict[str, list[str]]:
    """Return the values that are taken anywhere, with where; several at a time."""
    taken: dict[str, list[str]] = {}
    left = iter(tried)
    async with httpx2.AsyncClient(base_url=server.serving.admin, trust_env=False) as admin:

        async def work() -> None:
            for value in left:
                if found := await accepted(server, page, value, admin=admin):
                    taken[value] = found

        await asyncio.gather(*(work() for _ in range(4)))
    return taken


async def logins(server: Plane, tried: Sequence[str]) -> list[str]:
    """Return the values that are somebody's password."""
    found: list[str] = []
    left = iter(tried)

    async def work() -> None:
        for value in left:
            body = {"username": "alice", "password": value}
            while (reply := await server.http.post("/auth/login", json=body)).status_code == 429:
                # The lock lasts a millisecond here, and the other worker failed within the same one.
                assert reply.json()["code"] == "account_locked"
            assert reply.status_code in (200, 400, 401), reply.text
            if reply.status_code == 200:
                found.append(value)

    await asyncio.gather(*(work() for _ in range(2)))
    return found


async def test_se_19_what_people_hold_is_not_in_the_file(theft: Theft) -> None:
    """No token, ticket, cookie, key or password stands anywhere in the bytes of the store, nor its secret part."""
    everything = b"".join(file.read_bytes() for file in theft.file.parent.glob("*.db*"))
    assert b"alice" in everything
    for held in theft.held:
        assert held.encode() not in everything
        assert held.rpartition(".")[2].encode() not in everything
        assert held.removeprefix("wsk_").encode() not in everything
        with suppress(ValueError):
            assert urlsafe_b64decode(held.rpartition(".")[2] + "==") not in everything


async def test_se_19_no_value_of_the_store_is_a_credential(theft: Theft) -> None:
    """Every value, whole and in parts, in every place that takes a credential, at the server it was stolen from."""
    tried, _ = values(theft.file)
    assert len(tried) > 50
    assert await all_tried(theft.server, theft.page, tried) == {}


async def test_se_19_no_value_of_the_store_is_a_password(theft: Theft) -> None:
    """Nothing of the hashes, and nothing else of the store, signs anybody in."""
    tried, _ = values(theft.file)
    assert await logins(theft.server, [value for value in tried if len(value) <= 256]) == []


async def test_se_19_no_value_of_the_store_is_a_key(theft: Theft) -> None:
    """What Mallory signs with any value of the store as the key is nobody's signature."""
    keys = [key for key in values(theft.file)[1] if len(key) >= 16]
    assert len(keys) > 50
    for key in keys:
        for place, value in forged(theft, partial(hmac.digest, key, digest="sha256")):
            assert await accepted(theft.server, theft.page, value, only=place) == []
        if len(key) >= 32:
            assert await accepted(theft.server, theft.page, signed(theft, key), only="bearer") == []


async def test_se_19_with_the_key_file_the_forgeries_would_be_good(theft: Theft) -> None:
    """They are refused for their key alone: made with the key file, which Mallory has not, they are taken."""
    key_file = KeyFile.open(theft.server.serving.folder / "wsauth.key")
    tickets, proofs = forged(theft, key_file.mac("tickets").sign), forged(theft, key_file.mac("session proofs").sign)
    for place, value in (tickets[0], *proofs[1:]):
        assert await accepted(theft.server, theft.page, value, only=place) == [place]


async def test_se_19_the_attempts_would_find_what_is_good(theft: Theft) -> None:
    """The tries above mean something: what Alice holds is found by each of them."""
    server = theft.server
    page, login = await server.page("alice"), await server.login("alice")
    admin = httpx2.AsyncClient(base_url=server.serving.admin, trust_env=False)
    async with admin:
        by_token = await accepted(server, page, login["access_token"], admin=admin)
        by_cookie = await accepted(server, page, page.cookie, admin=admin)
        by_refresh = await accepted(server, page, login["refresh_token"], admin=admin)
        by_csrf = await accepted(server, page, page.csrf_token, admin=admin)
        by_ticket = await accepted(server, page, await server.ticket(login["access_token"]), admin=admin)
    ways = ["handshake by header", "handshake by query", "handshake by subprotocol", "message"]
    assert by_token == ["bearer", "verify", *ways]
    assert by_cookie == ["cookie", "handshake by cookie"]
    assert (by_refresh, by_csrf, by_ticket) == (["refresh"], ["csrf"], ["handshake by ticket"])
    assert await logins(server, [PASSWORD]) == [PASSWORD]


async def test_se_19_another_key_file_does_not_open_the_store(theft: Theft, tmp_path: Path) -> None:
    """A server of Mallory's own does not start on the copy, and says why without a word of what is in it."""
    (tmp_path / "wsauth.db").write_bytes(theft.file.read_bytes())
    done = await command(tmp_path, "serve")
    assert done.status == 2
    assert "store.key_file" in done.err
    assert "Traceback" not in done.err


async def test_se_19_at_mallorys_own_server_nothing_is_good_either(theft: Theft, tmp_path: Path) -> None:
    """With the keys and the fingerprint cut out, the copy serves under another key file; still nothing opens it."""
    (tmp_path / "wsauth.db").write_bytes(theft.file.read_bytes())
    with closing(sqlite3.connect(tmp_path / "wsauth.db")) as store:
        store.execute("DELETE FROM keys")
        store.execute("DELETE FROM facts")
        store.commit()
    KeyFile.open(tmp_path / "wsauth.key")
    config = CONFIG.format(algorithm="EdDSA")
    async with serving(tmp_path, config=config) as process:
        hers = Plane(process, {}, {})
        try:
            tried, _ = values(theft.file)
            page = await hers.page("alice")
            assert await all_tried(hers, page, tried) == {}
            assert await all_tried(hers, page, [value for value in theft.held if value != PASSWORD]) == {}
        finally:
            await hers.http.aclose()
