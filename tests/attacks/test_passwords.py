"""ATTACKS.md, group "Passwords": PW-02, PW-03, PW-18, PW-19, PW-25, PW-26 and PW-29.

Elsewhere: PW-05, PW-22 and PW-30 in test_handshake.py; PW-01, PW-10, PW-11, PW-14 and PW-15 in test_guessing.py; PW-06,
PW-07, PW-09, PW-13, PW-17 and PW-23 in `tests/unit`. That no time tells users apart is shown by its cause: the same
computations are made for everybody.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import argon2
import bcrypt
import httpx2
import pytest

from tests.attacks.wire import frame, request, wire
from tests.leaks import secret
from tests.unit.services.ground import PASSWORD, Ground, ground
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import called, new_password, port_of
from wsauth.errors import Refused

CURRENT = "$argon2id$v=19$m=19456,t=2,p=1$"
"""How a hash begins that is made today (OWASP's minimum)."""


@pytest.fixture(scope="module")
async def at(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Serving]:
    """Run a server as it is first started."""
    async with serving(tmp_path_factory.mktemp("passwords")) as server:
        yield server


async def login(at: Serving, name: str, password: str) -> int:
    """Return the status of a login."""
    body = {"username": name, "password": password}
    return (await called("POST", f"{at.http}/auth/login", body=body)).status_code


def stored(at: Serving, name: str) -> str:
    """Return the hash in the store."""
    with closing(sqlite3.connect(at.folder / "wsauth.db")) as store:
        return str(store.execute("SELECT password_hash FROM users WHERE username = ?", [name]).fetchone()[0])


# What a login computes.


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note each verification that the libraries make: its parameters, or bcrypt's cost."""
    found: list[object] = []
    verify, check = argon2.PasswordHasher.verify, bcrypt.checkpw

    def noting(hasher: argon2.PasswordHasher, hashed: Any, password: Any) -> Any:
        found.append(argon2.extract_parameters(hashed if isinstance(hashed, str) else hashed.decode()))
        return verify(hasher, hashed, password)

    def noting_bcrypt(password: bytes, hashed: bytes) -> bool:
        good = check(password, hashed)  # raises at once where there is no salt
        found.append(int(hashed[4:6]))
        return good

    monkeypatch.setattr(argon2.PasswordHasher, "verify", noting)
    monkeypatch.setattr(bcrypt, "checkpw", noting_bcrypt)
    return found


async def refusal(it: Ground, name: str, password: str) -> str:
    """Return the code with which a login is refused."""
    with pytest.raises(Refused) as no:
        await it.sessions.login(name, password, "tokens", address=f"198.51.100.{len(name)}")
    return no.value.code


async def everybody(it: Ground, store: Path) -> None:
    """Add users of every kind who cannot log in, some with a hash that only another hand can have stored."""
    await it.alice()
    await it.users.add("disabled", PASSWORD)
    await it.users.disable("disabled")
    await it.users.add_service("service")
    legacy = {
        "empty": "",
        "pbkdf2": "pbkdf2_sha256$1000$c2FsdA$aGFzaA",
        "broken": "$argon2id$v=19$m=8,t=1,p=1$",
        "salt": "$2b$12$" + "!" * 53,
    }
    for name in legacy:
        await it.users.add(name, PASSWORD)
    with closing(sqlite3.connect(store)) as other, other:
        other.executemany("UPDATE users SET password_hash = ? WHERE username = ?", [(v, k) for k, v in legacy.items()])


async def test_pw_02_every_no_is_the_same_computation(tmp_path: Path, computed: list[object]) -> None:
    """PW-02: unknown, wrong, disabled, a service, no hash, a legacy one: one hash with the live parameters for each."""
    async with ground(tmp_path) as it:
        await everybody(it, tmp_path / "wsauth.db")
        found = {}
        for name in ("alice", "nobody", "disabled", "service", "empty", "pbkdf2", "broken", "salt"):
            computed.clear()
            assert await refusal(it, name, "wrong") == "credentials_invalid"
            found[name] = list(computed)
    assert len(found["alice"]) == 1
    assert {name for name, each in found.items() if each != found["alice"]} == set()


async def test_pw_02_a_locked_name_computes_nothing(tmp_path: Path, computed: list[object]) -> None:
    """PW-02: once locked, the right password of a user and any of nobody's are refused without a hash."""
    async with ground(tmp_path) as it:
        await it.alice()
        for name in ("alice", "nobody"):
            for _ in range(10):
                await refusal(it, name, "wrong")
            computed.clear()
            assert await refusal(it, name, PASSWORD) == "account_locked"
            assert computed == []


@pytest.mark.parametrize("at_byte", [0, 10, len(PASSWORD) - 1])
async def test_pw_25_where_a_password_differs_changes_nothing(
    tmp_path: Path, computed: list[object], at_byte: int
) -> None:
    """PW-25: wrong in its first, a middle or its last byte, it is one hash; no text is compared."""
    wrong = f"{PASSWORD[:at_byte]}#{PASSWORD[at_byte + 1 :]}"
    async with ground(tmp_path) as it:
        await it.alice()
        computed.clear()
        assert await refusal(it, "alice", wrong) == "credentials_invalid"
        assert len(computed) == 1


# At the server.


async def test_pw_03_long_passwords_are_accepted_or_refused_unread(at: Serving) -> None:
    """PW-03: 64 and 256 characters are a password; what is longer is refused, and 10^8 before it has all come."""
    for length in (64, 256):
        name = f"long{length}"
        password = await at.add_user(name, (new_password(name) * 20)[:length])
        assert await login(at, name, password) == 200
        assert await login(at, name, f"{password[:-1]}#") == 401
    chosen = secret("a b c " * 200, "a password that is too long")
    done = await at.command("users", "add", "longer", "--password-stdin", stdin=f"{chosen}\n")
    assert (done.status, "256" in done.err) == (2, True), done.err
    assert await login(at, "long64", "x" * 1_000) in (400, 401)
    assert await login(at, "long64", "x" * 10_000) == 400
    assert await login(at, "long64", "x" * 10**6) == 413
    asked = f"Host: a\r\nContent-Type: application/json\r\nContent-Length: {10**8}"
    async with wire(port_of(at.http), f"POST /auth/login HTTP/1.1\r\n{asked}\r\n\r\n".encode()) as mallory:
        assert (await mallory.answer()).status == 413


async def test_pw_18_weak_hashes_are_replaced_by_the_first_login(at: Serving) -> None:
    """PW-18: a new hash is Argon2id at OWASP's minimum; imported weak ones become one, a foreign one is refused."""
    password = await at.add_user("fresh", new_password("fresh"))
    assert stored(at, "fresh").startswith(CURRENT)
    weak = argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I)
    hashes = {
        "argon2i": weak.hash(password),
        "bcrypt4": bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode(),
    }
    file = at.folder / "weak.jsonl"
    file.write_text("\n".join(json.dumps({"username": k, "password_hash": v}) for k, v in hashes.items()))
    done = await at.command("users", "import", str(file))
    assert done.status == 0, done.err
    for name, weaker in hashes.items():
        assert await login(at, name, f"{password}#") == 401
        assert stored(at, name) == weaker
        assert await login(at, name, password) == 200
        assert stored(at, name).startswith(CURRENT)
        assert await login(at, name, password) == 200
    file.write_text(json.dumps({"username": "pbkdf2", "password_hash": "pbkdf2_sha256$1000$c2FsdA$aGFzaA"}))
    assert (await at.command("users", "import", str(file))).status == 2


async def test_pw_19_a_flood_of_logins_has_an_end(at: Serving) -> None:
    """PW-19: of 300 logins at once the queue takes a few, the rest get 503 with a time; a socket echoes meanwhile."""
    password = await at.add_user("patient", new_password("patient"))
    token = (await at.login("patient", password))["access_token"]
    told: list[str] = []

    async def guess(http: httpx2.AsyncClient, number: int) -> httpx2.Response:
        body = {"username": f"nobody{number}", "password": "wrong"}
        answer = await http.post(f"{at.http}/auth/login", json=body)
        told.append("looked at" if answer.status_code == 401 else "refused")
        return answer

    async with (
        wire(port_of(at.http), request("/ws", f"Authorization: Bearer {token}")) as socket,
        httpx2.AsyncClient(timeout=60.0, trust_env=False, limits=httpx2.Limits(max_connections=300)) as http,
    ):
        assert (await socket.answer()).status == 101
        flooding = asyncio.gather(*(guess(http, number) for number in range(300)))
        while not flooding.done():
            socket.send(frame("hi"))
            assert await socket.text() == "hi"
            told.append("echo")
        answers = await flooding
    assert {each.status_code for each in answers} == {401, 503}
    assert all(int(each.headers["retry-after"]) >= 1 for each in answers if each.status_code == 503)
    meanwhile = told[told.index("looked at") :]
    assert meanwhile.count("echo") > 10
    assert await login(at, "patient", password) == 200


async def test_pw_26_a_fresh_server_knows_nobody(tmp_path: Path) -> None:
    """PW-26: no account and no password are there from the start, and two servers share neither key nor key file."""
    keys = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        async with serving(folder) as at:
            assert (await at.command("users", "list", "--json")).json() == []
            for name in ("admin", "root", "wsauth", "administrator", "test"):
                for password in (name, "", "password", "changeme", "wsauth"):
                    assert await login(at, name, password) in (400, 401), (name, password)
            keys.append((folder / "wsauth.key").read_text("ascii").split()[-1])
            keys += [each["x"] for each in (await called("GET", f"{at.http}/.well-known/jwks.json")).json()["keys"]]
    assert len(keys) == len(set(keys)) == 4


async def test_pw_29_an_api_key_is_shown_once_and_hashed_and_no_part_of_it_is_good(at: Serving) -> None:
    """PW-29: nothing shows it again, the store has no byte of it, no URL takes it, and it ends with its service."""
    key = await at.add_service("robot")
    assert len(key.removeprefix("wsk_")) * 6 >= 128
    for verb in (("users", "list", "--json"), ("users", "show", "robot", "--json")):
        assert key[4:] not in (await at.command(*verb)).out
    files = [each for each in at.folder.iterdir() if each.is_file()]
    assert not [each.name for each in files if key[4:].encode() in each.read_bytes()]
    me = f"{at.http}/auth/me"

    async def opens(presented: str, path: str = "/ws") -> int:
        lines = [f"Authorization: Bearer {presented}"] if presented else []
        async with wire(port_of(at.http), request(path, *lines)) as client:
            answer = await client.answer()
            return answer.status if answer.status != 101 or presented else 401

    assert await opens(key) == 101
    for part in (key[:-1], key[:12], "wsk_", key[4:], f"{key}A", key.swapcase()):
        assert await opens(part) == 401, part
    for name in ("token", "access_token", "api_key", "key", "ticket"):
        assert await opens("", f"/ws?{name}={key}") in (400, 401, 403), name
        assert (await called("GET", f"{me}?{name}={key}")).status_code in (400, 401), name
    assert (await at.command("users", "disable", "robot")).status == 0
    assert await opens(key) == 401
