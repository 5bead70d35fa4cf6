"""The ways of browsers to providers and back: each once, for ten minutes, by the browser that began it."""

import asyncio

import pytest

from tests.unit.services.ground import LIMITS, Ground, refused
from wsauth.core.sign_in import LASTS, challenge_of
from wsauth.services.keyfile import KeyFile
from wsauth.services.transactions import Transactions


@pytest.fixture
def ways(it: Ground) -> Transactions:
    """Return the ways of one process."""
    return Transactions(it.store.tickets, it.key_file, LIMITS, it.clock)


async def test_a_way_ends_once(ways: Transactions) -> None:
    """Of fifty at once one is through, with all that it began with."""
    begun, cookie = ways.begin("idp", "/a?b=c", "x" * 43, "")
    done = await asyncio.gather(*(ways.end(begun.state, "idp", cookie) for _ in range(50)), return_exceptions=True)
    assert [each for each in done if not isinstance(each, BaseException)] == [(begun, "")]


async def test_it_is_this_browsers_and_this_providers(ways: Transactions) -> None:
    """No cookie, another browser's, a changed one or another provider: refused, and the right one is still good."""
    begun, cookie = ways.begin("idp", "/", "", "")
    _, other = ways.begin("idp", "/", "", "")
    for provider, presented in (
        ("idp", ""),
        ("idp", other),
        ("idp", "A" + cookie[1:]),
        ("idp", "ü"),
        ("other", cookie),
    ):
        assert await refused(ways.end(begun.state, provider, presented)) == "token_invalid"
    assert await ways.end(begun.state, "idp", cookie) == (begun, "")


async def test_it_lasts_ten_minutes(it: Ground, ways: Transactions) -> None:
    """One second before it is good, then no more."""
    first, cookie = ways.begin("idp", "/", "", "")
    second, cookie = ways.begin("idp", "/", "", cookie)
    it.clock.advance(LASTS - 1)
    assert (await ways.end(first.state, "idp", cookie))[0] == first
    it.clock.advance(1)
    assert await refused(ways.end(second.state, "idp", cookie)) == "token_invalid"


async def test_a_browser_is_on_three_at_most(ways: Transactions) -> None:
    """The oldest is dropped, so that the cookie stays small; each of the others can end in any order."""
    cookie, begun = "", []
    for _ in range(5):
        way, cookie = ways.begin("idp", "/" + "a" * 511, "x" * 43, cookie)
        begun.append(way)
    assert len(cookie) < 4000
    for way in begun[:2]:
        assert await refused(ways.end(way.state, "idp", cookie)) == "token_invalid"
    for way in (begun[3], begun[2], begun[4]):
        found, cookie = await ways.end(way.state, "idp", cookie)
        assert found == way
    assert cookie == ""


async def test_what_only_we_know_of_a_way(it: Ground, ways: Transactions) -> None:
    """Nonce and verifier are of the state and of the key file: 43 characters each, the same in every process."""
    state = ways.begin("idp", "/", "", "")[0].state
    beside = Transactions(it.store.tickets, it.key_file, LIMITS, it.clock)
    elsewhere = Transactions(it.store.tickets, KeyFile.in_memory(), LIMITS, it.clock)
    assert len(ways.verifier(state)) == len(ways.nonce(state)) == 43
    assert (beside.verifier(state), beside.nonce(state)) == (ways.verifier(state), ways.nonce(state))
    assert len({ways.verifier(state), ways.nonce(state), elsewhere.verifier(state), elsewhere.nonce(state)}) == 4


async def test_a_code_brings_its_session_once(it: Ground, ways: Transactions) -> None:
    """For a minute, to whoever knows the verifier; a wrong one spends it, and no other text is a code."""
    challenge = challenge_of("v" * 43)
    assert await ways.session_of(ways.code("s-1", challenge), challenge) == "s-1"
    for wrong in (challenge_of("w" * 43), ""):
        code = ways.code("s-1", challenge)
        assert await refused(ways.session_of(code, wrong)) == "token_invalid"
        assert await refused(ways.session_of(code, challenge)) == "token_invalid"
    code = ways.code("s-1", challenge)
    it.clock.advance(60)
    for text in (code, "", "x" * 100, "ü", ways.begin("idp", "/", "", "")[1]):
        assert await refused(ways.session_of(text, challenge)) == "token_invalid"
