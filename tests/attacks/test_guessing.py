"""ATTACKS.md, guessing of passwords: PW-01, PW-10, PW-11, PW-14 and PW-15, at the real server in two processes.

Addresses are told apart by `X-Forwarded-For` of a proxy that is believed, this machine, or not.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.attacks.wire import frame, request, wire
from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import people, port_of

CONFIG = """
[[routes]]
path = "/ws"
upstream = "echo"
sources = ["header", "basic", "message"]
auth_attempts = 100
"""
Way = Callable[..., Awaitable[object]]
STRICT = {
    "WSAUTH__LIMITS__EXEMPT": "[]",
    "WSAUTH__LIMITS__AUTH_FAILURES_PER_ADDRESS": "1000/m",
    "WSAUTH__PASSWORDS__LOCKOUT_FOR": "15m",
}
PROXY = {**STRICT, "WSAUTH__SERVER__TRUSTED_PROXIES": '["127.0.0.1"]'}


@pytest.fixture
async def at(tmp_path: Path) -> AsyncGenerator[Serving]:
    """Run a server behind a proxy, with the limits of the default."""
    async with serving(tmp_path, "--workers", "2", config=CONFIG, environ=PROXY) as server:
        yield server


async def login(at: Serving, name: str, password: str, address: str, **headers: str) -> httpx2.Response:
    """Log in as the proxy forwards it."""
    forwarded = {"X-Forwarded-For": address, "X-Forwarded-Proto": "https", **headers}
    async with httpx2.AsyncClient(trust_env=False, timeout=20.0) as client:
        body = {"username": name, "password": password, "cookie": True}
        return await client.post(f"{at.http}/auth/login", json=body, headers=forwarded)


def without_id(answer: httpx2.Response) -> dict[str, Any]:
    """Return what an answer says beside its id and the seconds."""
    return {name: value for name, value in answer.json().items() if name not in ("id", "retry_after")}


def device_of(answer: httpx2.Response) -> str:
    """Return the cookie by which the device is known after a login."""
    (device,) = [each.partition(";")[0] for each in answer.headers.get_list("set-cookie") if "-device=" in each]
    secret(device.partition("=")[2], "a device cookie")
    return device


async def test_pw_10_one_account_from_many_addresses(at: Serving) -> None:
    """PW-10: of 60 guesses from as many addresses few are looked at; a device that logged in before gets in at once."""
    password = await people(at, ["alice"])
    first = await login(at, "alice", password, "198.51.100.1")
    assert first.status_code == 200
    device = device_of(first)
    found = [(await login(at, "alice", f"guess {each}", f"203.0.113.{each}")).status_code for each in range(60)]
    assert found[:10] == [401] * 10
    assert found.count(401) < 20
    assert set(found) == {401, 429}
    known = await login(at, "alice", password, "198.51.100.9", Cookie=device)
    assert known.status_code == 200
    forged = await login(at, "bob", "guess", "198.51.100.9", Cookie=device)
    assert forged.status_code == 401


async def test_pw_01_a_locked_name_tells_nothing(at: Serving) -> None:
    """PW-01: locked known and locked unknown names, with right and wrong passwords, are answered alike."""
    password = await people(at, ["alice"])
    answers = []
    for name, address in (("alice", "203.0.113.1"), ("nobody", "203.0.113.2")):
        for _ in range(10):
            assert (await login(at, name, "wrong", address)).status_code == 401
        answers += [await login(at, name, "wrong", address), await login(at, name, password, address)]
    assert {each.status_code for each in answers} == {429}
    assert all(without_id(each) == without_id(answers[0]) for each in answers)
    assert answers[0].json()["code"] == "account_locked"
    assert 890 <= answers[0].json()["retry_after"] <= 900
    assert (await at.command("users", "unlock", "alice")).status == 0
    assert (await login(at, "alice", password, "203.0.113.1")).status_code == 200


async def test_pw_11_one_password_on_many_accounts(at: Serving) -> None:
    """PW-11: an address that sprays one password is told to wait after twenty accounts; another address is not."""
    found = [(await login(at, f"user{each}", "Summer2026!", "203.0.113.7")).status_code for each in range(30)]
    assert found[:20] == [401] * 20
    assert found[-1] == 429
    assert (await login(at, "user1", "Summer2026!", "198.51.100.1")).status_code == 401


async def basic(at: Serving, name: str, password: str, address: str, *more: str) -> int:
    """Return the status of a handshake with Basic."""
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    lines = (f"Authorization: Basic {pair}", f"X-Forwarded-For: {address}", "X-Forwarded-Proto: https", *more)
    async with wire(port_of(at.http), request("/ws", *lines)) as socket:
        return (await socket.answer()).status


async def by_message(at: Serving, name: str, password: str, address: str, *more: str) -> str:
    """Return the code with which a password in a message is refused, or what else is answered."""
    lines = (f"X-Forwarded-For: {address}", "X-Forwarded-Proto: https", *more)
    async with wire(port_of(at.http), request("/ws", *lines)) as socket:
        assert (await socket.answer()).status == 101
        await socket.message("auth_required")
        socket.send(frame(f'{{"type":"auth","username":"{name}","password":"{password}"}}'))
        answer = json.loads(await socket.text())
        return str(answer.get("code", answer["type"]))


async def test_pw_15_all_ways_share_the_counters(at: Serving) -> None:
    """PW-15: ten guesses by login, Basic and message in turn lock the account, whichever way the eleventh comes."""
    await people(at, ["alice"])
    for each in range(10):
        if each % 3 == 0:
            assert (await login(at, "alice", "wrong", "203.0.113.5")).status_code == 401
        elif each % 3 == 1:
            assert await basic(at, "alice", "wrong", "203.0.113.5") == 401
        else:
            assert await by_message(at, "alice", "wrong", "203.0.113.5") == "credentials_invalid"
    assert await by_message(at, "alice", "wrong", "203.0.113.5") == "account_locked"
    assert await basic(at, "alice", "wrong", "203.0.113.5") == 429
    assert (await login(at, "alice", "wrong", "203.0.113.5")).status_code == 429


@pytest.mark.parametrize(("way", "no", "yes"), [(basic, 429, 101), (by_message, "account_locked", "auth_success")])
async def test_pw_10_a_known_device_is_known_at_a_socket(at: Serving, way: Way, no: object, yes: object) -> None:
    """PW-10: while an account is locked, its password opens a socket only from a device that logged in before."""
    password = await people(at, ["alice"])
    device = device_of(await login(at, "alice", password, "198.51.100.1"))
    while (await login(at, "alice", "wrong", "203.0.113.5")).status_code != 429:
        pass
    assert await way(at, "alice", password, "203.0.113.5") == no
    assert await way(at, "alice", password, "203.0.113.5", f"Cookie: {device[:-1]}") == no
    assert await way(at, "alice", password, "203.0.113.5", f"Cookie: {device}") == yes


async def test_an_undeclared_proxy_is_named_where_its_users_cannot_log_in(tmp_path: Path) -> None:
    """Where the failures of all users of a proxy count as one address's, the log says once what to write."""
    async with serving(tmp_path, config=CONFIG, environ=STRICT) as at:
        for each in range(30):
            await login(at, f"user{each}", "Summer2026!", f"203.0.113.{each}")
        assert at.output().count("server.trusted_proxies = ['127.0.0.1']") == 1


async def test_pw_14_headers_of_a_stranger_are_no_way_around(tmp_path: Path) -> None:
    """PW-14: another forwarded address for each try, from a peer that is no proxy, is still one address."""
    async with serving(tmp_path, config=CONFIG, environ=STRICT) as at:

        async def guess(each: int) -> int:
            spoofed = {"X-Real-IP": f"203.0.113.{each}", "Forwarded": f"for=203.0.113.{each}"}
            return (await login(at, f"user{each}", "wrong", f"203.0.113.{each}", **spoofed)).status_code

        found = await asyncio.gather(*map(guess, range(24)))
        assert set(found) == {401, 429}
        assert found.count(401) >= 20
