"""ATTACKS.md, what is about counters of addresses: IB-31, RX-05, RX-10, TK-09, TK-10 and AD-09, at the real server.

The attacker and the honest are told apart by `X-Forwarded-For` of a proxy that is believed: this machine.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.attacks.wire import CLOSE, Answer, Wire, frame, request, wire
from tests.leaks import secret
from tests.wsauth_server import Serving, command, serving
from tests.wsauth_sockets import called, echoes, endings, people, port_of

MALLORY, HONEST = "203.0.113.66", "198.51.100.7"
CONFIG = """
[server]
trusted_proxies = ["127.0.0.1"]

[limits]
auth_failures_per_address = "5/m"
connect_per_address = "8/m"
unauthenticated_per_address = 4
connections_per_identity = 3
messages_per_connection = "20/h"
"""
LIMITED = {"WSAUTH__LIMITS__EXEMPT": "[]", "WSAUTH__LIMITS__CONNECTIONS_PER_IDENTITY": "3"}


@pytest.fixture
async def at(tmp_path: Path) -> AsyncGenerator[Serving]:
    """Run a server with small limits."""
    async with serving(tmp_path, config=CONFIG, environ=LIMITED) as server:
        yield server


def head(address: str, *lines: str, path: str = "/ws") -> bytes:
    """Return a handshake that the proxy forwards for an address."""
    return request(path, f"X-Forwarded-For: {address}", "X-Forwarded-Proto: https", *lines)


async def answered(at: Serving, address: str, *lines: str, path: str = "/ws") -> Answer:
    """Return the answer to a handshake that the proxy forwards."""
    async with wire(port_of(at.http), head(address, *lines, path=path)) as socket:
        return await socket.answer()


async def signed_in(at: Serving, name: str) -> str:
    """Return an access token of a new user."""
    password = await people(at, [name])
    answer = await called("POST", f"{at.http}/auth/login", body={"username": name, "password": password})
    return str(answer.json()["access_token"])


async def opened(at: Serving, stack: AsyncExitStack, address: str, token: str) -> Wire:
    """Return a socket with a good token that is open."""
    socket = await stack.enter_async_context(wire(port_of(at.http), head(address, f"Authorization: Bearer {token}")))
    assert (await socket.answer()).status == 101
    return socket


async def test_rx_05_a_crowd_of_strangers_keeps_nobody_out(tmp_path: Path) -> None:
    """RX-05: idle strangers fill the places of the unauthenticated, the oldest are shed, and a token gets in."""
    few = {**LIMITED, "WSAUTH__LIMITS__UNAUTHENTICATED_CONNECTIONS": "10"}
    async with serving(tmp_path, config=CONFIG, environ=few) as at, AsyncExitStack() as stack:
        token = await signed_in(at, "alice")
        strangers = []
        for each in range(14):
            address = f"203.0.113.{each // 2}"
            strangers.append(await stack.enter_async_context(wire(port_of(at.http), head(address))))
            assert (await strangers[-1].answer()).status == 101
        shed = [await each.closed(5.0) for each in strangers[0:8:2]]
        assert {frame.close_code for frame in shed} == {1013}
        assert {frame.reason for frame in shed} == {"too_many_connections"}
        assert await echoes(await opened(at, stack, MALLORY, token))


async def test_one_address_has_few_places(at: Serving) -> None:
    """Over the number of one address its own oldest goes, and another address's stay."""
    async with AsyncExitStack() as stack:
        honest = await stack.enter_async_context(wire(port_of(at.http), head(HONEST)))
        assert (await honest.answer()).status == 101
        mallory = []
        for _ in range(5):
            mallory.append(await stack.enter_async_context(wire(port_of(at.http), head(MALLORY))))
            assert (await mallory[-1].answer()).status == 101
        assert (await mallory[0].closed(5.0)).close_code == 1013
        with pytest.raises(TimeoutError):
            await honest.closed(0.3)


async def test_an_office_whose_requests_come_late_is_let_in(tmp_path: Path) -> None:
    """More connections of one address than may be strangers come before their requests, and a token opens each."""
    few = {"WSAUTH__LIMITS__EXEMPT": "[]", "WSAUTH__LIMITS__UNAUTHENTICATED_PER_ADDRESS": "4"}
    async with serving(tmp_path, environ=few) as at, AsyncExitStack() as stack:
        token = await signed_in(at, "alice")
        sockets = [await stack.enter_async_context(wire(port_of(at.http))) for _ in range(12)]
        await answered(at, HONEST)  # by now they have all been accepted
        for socket in sockets:
            socket.send(head(MALLORY, f"Authorization: Bearer {token}"))
            assert (await socket.answer()).status == 101


async def test_strangers_are_limited_and_a_token_from_there_is_not(at: Serving) -> None:
    """Who never authenticates is soon told 429 with a time; a good token from there passes, again and again."""
    token = await signed_in(at, "alice")
    found = [await answered(at, MALLORY, path="/ws") for _ in range(9)]
    assert [each.status for each in found] == [101] * 8 + [429]
    assert int(found[-1].header("retry-after")) >= 1
    for _ in range(10):
        assert (await answered(at, MALLORY, f"Authorization: Bearer {token}")).status == 101
    assert (await answered(at, HONEST)).status == 101
    assert "limits.connect_per_address" in at.output()


async def test_rx_10_forged_tokens_are_limited_by_their_address(at: Serving) -> None:
    """RX-10: after a few forged tokens an address is told 429; a good one from there still passes."""
    token = await signed_in(at, "alice")
    forged = [secret(f"{token[:-8]}{each:08d}", "a forged token") for each in range(7)]
    found = [(await answered(at, MALLORY, f"Authorization: Bearer {each}")).status for each in forged]
    assert found == [401] * 5 + [429] * 2
    assert (await answered(at, MALLORY, f"Authorization: Bearer {token}")).status == 101
    assert (await answered(at, HONEST, f"Authorization: Bearer {forged[0]}")).status == 401


async def test_tk_09_guessed_tickets_are_limited(at: Serving) -> None:
    """TK-09: random tickets are refused as invalid, then as too many, by their address."""
    found = [(await answered(at, MALLORY, path=f"/ws?ticket=wst_{each:040d}")).status for each in range(7)]
    assert found == [401] * 5 + [429] * 2


async def test_tk_10_minting_tickets_is_limited_by_identity(at: Serving) -> None:
    """TK-10: one session may mint 120 tickets a minute; another user's ticket is made meanwhile."""
    mallory, alice = await signed_in(at, "mallory"), await signed_in(at, "alice")
    url = f"{at.http}/auth/ticket"
    found: list[int] = []
    while 429 not in found and len(found) < 600:
        found += [each.status_code for each in await asyncio.gather(*(called("POST", url, mallory) for _ in range(30)))]
    assert found[:120] == [200] * 120
    assert set(found[120:]) == {200, 429}
    assert (await called("POST", url, alice)).status_code == 200


async def test_ad_09_guessing_tokens_of_the_admin_api_is_limited(at: Serving) -> None:
    """AD-09: wrong tokens on the admin listener are soon told 429, the log says so, and the administrator works on."""
    await command(at.folder, "users", "add", "root", "--service", "--grant", "wsauth:admin")
    made = await command(at.folder, "users", "add", "ops", "--service", "--grant", "wsauth:admin", "--json")
    key = secret(str(made.json()["api_key"]), "an API key")
    url = f"{at.admin}/admin/api/users"
    found = [(await called("GET", url, f"wsk_{each:043d}")).status_code for each in range(7)]
    assert found == [401] * 5 + [429] * 2
    assert (await called("GET", url, key)).status_code == 200
    assert "limits.auth_failures_per_address" in at.output()


async def test_an_identity_has_an_end_of_connections(at: Serving) -> None:
    """The fourth socket of one identity is refused, another identity's is not, and a place that is left is free."""
    alice, bob = await signed_in(at, "alice"), await signed_in(at, "bob")
    async with AsyncExitStack() as stack:
        leaving = AsyncExitStack()
        mine = [await opened(at, leaving, HONEST, alice), *[await opened(at, stack, HONEST, alice) for _ in range(2)]]
        refused = await answered(at, HONEST, f"Authorization: Bearer {alice}")
        assert (refused.status, refused.code) == (429, "too_many_connections")
        await opened(at, stack, HONEST, bob)
        assert all([await echoes(each) for each in mine])
        await leaving.aclose()
        for _ in range(40):
            if (await answered(at, HONEST, f"Authorization: Bearer {alice}")).status == 101:
                return
            await asyncio.sleep(0.05)
        pytest.fail("the place of a socket that is gone was not free within 2 s")


async def test_ib_31_a_flood_of_messages_is_held(at: Serving) -> None:
    """IB-31: of 40 messages 20 are echoed; the log-out closes the socket, and no other came before its close."""
    token = await signed_in(at, "mallory")
    async with AsyncExitStack() as stack:
        socket = await opened(at, stack, MALLORY, token)
        socket.writer.write(frame("flood") * 40)
        for _ in range(20):
            heard = await socket.frame()
            assert heard is not None
            assert heard.payload == b"flood"
        await called("POST", f"{at.http}/auth/logout", token)
        (end,) = await endings([socket])
        assert (end.opcode, end.close_code) == (CLOSE, 3000)


async def test_an_office_comes_back_at_once(at: Serving) -> None:
    """Everybody behind one address who has a good token is let in at once, whatever that address may fail."""
    password = await people(at, [f"user{each}" for each in range(20)])
    tokens = []
    for each in range(20):
        body = {"username": f"user{each}", "password": password}
        tokens.append(str((await called("POST", f"{at.http}/auth/login", body=body)).json()["access_token"]))
    async with AsyncExitStack() as stack:
        sockets = await asyncio.gather(*(opened(at, stack, HONEST, token) for token in tokens for _ in range(3)))
        assert all(await asyncio.gather(*(echoes(each) for each in sockets)))


async def test_an_office_with_cookies_comes_back_at_once(tmp_path: Path) -> None:
    """Who brings a cookie is looked at, which takes a moment, and is none of the silent who have few places."""
    roomy = {**LIMITED, "WSAUTH__LIMITS__CONNECT_PER_ADDRESS": "300/m"}
    async with serving(tmp_path, config=CONFIG, environ=roomy) as at, AsyncExitStack() as stack:
        names = [f"user{each}" for each in range(12)]
        password = await people(at, names)
        cookies = []
        for name in names:
            body = {"username": name, "password": password, "cookie": True}
            answer = await called("POST", f"{at.http}/auth/login", body=body)
            found = [each for each in answer.headers.get_list("set-cookie") if "-device=" not in each]
            cookies.append(found[0].partition(";")[0])
            secret(cookies[-1].partition("=")[2], "a session cookie")

        async def opens(cookie: str) -> int:
            own = f"http://127.0.0.1:{port_of(at.http)}"
            sent = head(HONEST, f"Cookie: {cookie}", f"Origin: {own}")
            return (await (await stack.enter_async_context(wire(port_of(at.http), sent))).answer()).status

        assert await asyncio.gather(*(opens(each) for each in cookies * 3)) == [101] * 36
