"""Opaque tokens, about which a server over real HTTP is asked (RFC 7662); ATTACKS OA-13 and OA-14."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.issuing import NOW, Provider, SteppedClock, presented, provider, response, signed
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.errors import ConfigurationError, Refused
from wsauth.services import asking
from wsauth.verifiers.introspection import IntrospectionVerifier

ASK = "/introspect"
ISSUER = "https://login.example.com"
ACTIVE = {"active": True, "sub": "alice", "iss": ISSUER, "aud": "chat", "exp": NOW + 3600, "scope": "read write"}
STATUS = {status: response(b"", status=status) for status in ("302 Found", "400 Bad", "401 No", "403 No", "500 Oops")}


MADE: list[IntrospectionVerifier] = []
"""The verifiers of one test, which are closed at its end."""


@pytest.fixture
async def it() -> AsyncGenerator[Provider]:
    """Run a server that says yes to every token."""
    async with provider() as found:
        found.answers[ASK] = ACTIVE
        MADE.clear()
        yield found
        for judge in MADE:
            await judge.aclose()


@pytest.fixture
def clock() -> SteppedClock:
    """Stand the time still."""
    return SteppedClock()


def verifier(it: Provider, clock: SteppedClock, **changes: Any) -> IntrospectionVerifier:
    """Ask at that server."""
    given = {"issuer": ISSUER, "audience": "chat", "client_id": "we", "client_secret": "s e:cret", **changes}
    MADE.append(IntrospectionVerifier(url=it.url + ASK, clock=clock, **given))
    return MADE[-1]


async def asked(judge: IntrospectionVerifier, token: str = "opaque", *, again: bool = False) -> Identity | str | None:
    """Return whose it is, or the code of the no."""
    try:
        return await (judge.recheck if again else judge.verify)(presented(token))
    except Refused as no:
        return "leaked" if token in f"{no} {no.mend}" else no.code


async def test_an_active_token_is_its_subjects(it: Provider, clock: SteppedClock) -> None:
    """Who, what they may do, and until when they must be asked about again; the token is sent in the body."""
    judge = verifier(it, clock, roles="*", roles_claim="groups")
    it.answers[ASK] = {**ACTIVE, "groups": ["staff"], "sid": "s-1", "jti": "t-1"}
    found = await asked(judge, "a+b&c")
    assert isinstance(found, Identity)
    assert found.key == (ISSUER, "alice")
    assert (found.roles, found.permissions, found.expires_at) == (("staff",), ("read", "write"), NOW + 300)
    assert (found.session_id, found.token_id) == ("s-1", "t-1")
    ((head, body),) = it.requests
    assert head.startswith(f"POST {ASK} HTTP/1.1\r\n")
    assert f"Authorization: Basic {base64.b64encode(b'we:s+e%3Acret').decode()}" in head
    assert parse_qs(body) == {"token": ["a+b&c"], "token_type_hint": ["access_token"]}


async def test_a_client_can_say_who_it_is_in_the_body(it: Provider, clock: SteppedClock) -> None:
    """`client_auth = "post"` (RFC 6749 section 2.3.1)."""
    await asked(verifier(it, clock, client_auth="post"))
    ((head, body),) = it.requests
    assert "authorization" not in head.lower()
    assert (parse_qs(body)["client_id"], parse_qs(body)["client_secret"]) == (["we"], ["s e:cret"])


@pytest.mark.parametrize("changes", [{"exp": NOW + 3}, {"exp": None}], ids=["soon", "none"])
async def test_the_lease_ends_with_the_token_or_the_next_question(
    it: Provider, clock: SteppedClock, changes: dict[str, Any]
) -> None:
    """Whichever comes first; a token that says no end has one all the same."""
    it.answers[ASK] = {name: value for name, value in (ACTIVE | changes).items() if value is not None}
    found = await asked(verifier(it, clock))
    assert isinstance(found, Identity)
    assert found.expires_at == (NOW + 3 if changes["exp"] else NOW + 300)


@pytest.mark.parametrize(
    "answer",
    [
        {**ACTIVE, "active": "true"}, {**ACTIVE, "active": 1}, {"sub": "alice"}, [], "yes", response(b"<html>"),
        response(b'{"active": true, "active": false}'), response(b'{"active": true, "x": "' + b"x" * 70_000 + b'"}'),
        *STATUS.values(),
    ],
)  # fmt: skip
async def test_oa_13_only_true_is_a_yes(it: Provider, clock: SteppedClock, answer: Any) -> None:
    """OA-13: a text, a number, nothing, HTML, two answers, a huge one, a redirect, an error: nobody gets in."""
    it.answers[ASK] = answer
    assert await asked(verifier(it, clock)) == "unavailable"
    assert await asked(verifier(it, clock), again=True) == "unavailable"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://evil.example"}, "token_invalid"),
        ({"aud": "other"}, "token_invalid"),
        ({"aud": None}, "token_invalid"),
        ({"sub": ""}, "token_invalid"),
        ({"sub": 7}, "token_invalid"),
        ({"cnf": {"jkt": "x"}}, "token_invalid"),
        ({"exp": NOW - 31}, "token_expired"),
        ({"exp": "1"}, "token_invalid"),
        ({"nbf": NOW + 60}, "token_invalid"),
        ({"iat": NOW - 90_000, "exp": NOW + 10}, "token_invalid"),
    ],
)
async def test_what_is_active_must_still_be_for_us(
    it: Provider, clock: SteppedClock, changes: dict[str, Any], code: str
) -> None:
    """Another issuer, another audience or none, no subject, a bound token, an end that is past or too far."""
    it.answers[ASK] = {name: value for name, value in (ACTIVE | changes).items() if value is not None}
    assert await asked(verifier(it, clock)) == code


async def test_inactive_is_not_ours_and_later_revoked(it: Provider, clock: SteppedClock) -> None:
    """At first somebody else may know it; whoever stands on it is told that it was revoked."""
    it.answers[ASK] = {"active": False}
    judge = verifier(it, clock)
    assert await asked(judge) is None
    assert await asked(judge, again=True) == "token_revoked"


async def test_other_credentials_are_not_asked_about(it: Provider, clock: SteppedClock) -> None:
    """Passwords, tickets, cookies that nobody named, and what cannot be sent."""
    judge = verifier(it, clock, cookie="their")
    for each in (
        Credentials("password", "p", source="basic", username="alice"),
        Credentials("ticket", "t", source="ticket"),
        Credentials("token", "t", source="cookie", cookie="other"),
        Credentials("token", "t\r\nX: y", source="message"),
        Credentials("token", "tökén", source="message"),
    ):
        assert await judge.verify(each) is None
    assert it.asked == []
    assert await judge.verify(Credentials("token", "t", source="cookie", cookie="their")) is not None


async def test_oa_14_an_answer_is_kept_for_seconds(it: Provider, clock: SteppedClock) -> None:
    """OA-14: five of them, never past the token's end, and not at all for who stands on it."""
    judge = verifier(it, clock, leeway=0)
    for _ in range(3):
        await asked(judge)
    assert len(it.asked) == 1
    it.answers[ASK] = {"active": False}
    assert await asked(judge, again=True) == "token_revoked"
    assert await asked(judge, "another") is None
    assert await asked(judge, "another") is None
    assert len(it.asked) == 3
    clock.advance(5)
    it.answers[ASK] = ACTIVE | {"exp": NOW + 8}
    assert isinstance(await asked(judge, "another"), Identity)
    clock.advance(3)
    it.answers[ASK] = {"active": False}
    assert await asked(judge, "another") is None


async def test_a_token_is_asked_about_once_at_a_time(it: Provider, clock: SteppedClock) -> None:
    """A hundred handshakes with it are one question, also when the first of them gives up."""
    it.gates[ASK] = asyncio.Event()
    judge = verifier(it, clock)
    first, *others = [asyncio.ensure_future(asked(judge)) for _ in range(100)]
    await asyncio.sleep(0.05)
    first.cancel()
    it.gates[ASK].set()
    assert {str(each) for each in await asyncio.gather(*others)} == {f"{ISSUER}|alice"} or len(it.asked) == 1
    assert len(it.asked) == 1


async def test_few_are_asked_about_at_a_time(it: Provider, clock: SteppedClock) -> None:
    """Of 100 tokens 32 are under way."""
    it.gates[ASK] = asyncio.Event()
    judge = verifier(it, clock)
    asking = asyncio.gather(*(asked(judge, f"token-{each}") for each in range(100)))
    await asyncio.sleep(0.3)
    assert len(it.asked) == 32
    it.gates[ASK].set()
    assert all(isinstance(each, Identity) for each in await asking)
    assert len(it.asked) == 100


async def test_a_server_that_is_down_is_left_alone(
    it: Provider, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """After five failures it gets one question a second, then each two, and answers at once when it is back."""
    it.break_down()
    judge = verifier(it, clock)
    for each in range(20):
        assert await asked(judge, f"token-{each}") == "unavailable"
    assert len(it.asked) == 5
    clock.advance(1)
    assert await asked(judge) == await asked(judge) == "unavailable"
    assert len(it.asked) == 6
    clock.advance(1)
    assert await asked(judge) == "unavailable"
    assert len(it.asked) == 6
    clock.advance(1)
    it.answers[ASK] = ACTIVE
    assert isinstance(await asked(judge), Identity)
    assert isinstance(await asked(judge, "other"), Identity)
    assert caplog.text.count("cannot be asked") == 2


async def test_strangers_do_not_count_as_its_failures(it: Provider, clock: SteppedClock) -> None:
    """What cannot even be sent is nobody's, and the next good token is asked about."""
    judge = verifier(it, clock)
    for _ in range(10):
        assert await asked(judge, "abc ") is None
    assert isinstance(await asked(judge), Identity)


async def test_another_issuers_jwt_is_not_told(it: Provider, clock: SteppedClock) -> None:
    """A JWT of somebody else may be good there; one of this issuer, or an opaque one with dots, is asked about."""
    judge = verifier(it, clock)
    assert await asked(judge, signed({"iss": "https://other.example", "sub": "alice"}, "HS256")) is None
    assert it.asked == []
    for token in (signed({"iss": ISSUER, "sub": "alice"}, "HS256"), "a.b.c"):
        assert isinstance(await asked(judge, token), Identity), token


async def test_whoever_has_left_is_not_asked_about(it: Provider, clock: SteppedClock) -> None:
    """When all who wait for an answer have gone, its question is dropped, also from the queue."""
    it.gates[ASK] = asyncio.Event()
    judge = verifier(it, clock)
    asking = [asyncio.ensure_future(asked(judge, f"token{each}")) for each in range(100)]
    await asyncio.sleep(0.2)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    it.gates[ASK].set()
    assert isinstance(await asked(judge), Identity)
    assert len(it.asked) == 33


async def test_after_the_end_nobody_is_asked(it: Provider, clock: SteppedClock) -> None:
    """Who waits is told so at once, and so is whoever comes later."""
    it.gates[ASK] = asyncio.Event()
    judge = verifier(it, clock)
    waiting = asyncio.ensure_future(asked(judge))
    await asyncio.sleep(0.1)
    await judge.aclose()
    assert await waiting == "unavailable"
    assert await asked(judge, "later") == "unavailable"


async def test_an_outage_may_last(it: Provider, clock: SteppedClock) -> None:
    """After thousands of failures it is still asked each half minute, and no more often."""
    it.break_down()
    judge = verifier(it, clock)
    for _ in range(5):
        await asked(judge)
    judge._endpoint._failures = 5000
    for _ in range(3):
        clock.advance(30)
        assert await asked(judge) == await asked(judge) == "unavailable"
    assert len(it.asked) == 8


async def test_rx_22_a_server_that_hangs_holds_nobody_up(
    it: Provider, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RX-22: each is told within the time limit, 32 are under way at once, and then nobody waits for it any more."""
    monkeypatch.setattr(asking, "_TIME_LIMIT", 0.3)
    it.answers[ASK] = None
    judge = verifier(it, clock)
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(asked(judge, f"token-{each}") for each in range(200)))
        assert found == ["unavailable"] * 200
        before = len(it.asked)
        assert 32 <= before < 40
        assert await asked(judge) == "unavailable"
        assert len(it.asked) == before


async def test_a_wrong_secret_is_named(it: Provider, clock: SteppedClock, caplog: pytest.LogCaptureFixture) -> None:
    """The log says what to look at, and not the secret."""
    it.answers[ASK] = STATUS["401 No"]
    assert await asked(verifier(it, clock)) == "unavailable"
    assert "client_id and client_secret" in caplog.text
    assert "s e:cret" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_secret": ""}, "client_id and client_secret"),
        ({"url": "http://login.example.com/i"}, "is not https"),
        ({"recheck": 0}, "recheck cannot be off"),
        ({"name": "wsauth"}, "wsauth's own users"),
        ({"audience": ""}, "audience"),
    ],
)
def test_what_cannot_work_is_refused(clock: SteppedClock, changes: dict[str, Any], said: str) -> None:
    """At once, with the key's name."""
    given = {"issuer": ISSUER, "audience": "chat", "url": "https://i.example", "client_id": "a", "client_secret": "b"}
    with pytest.raises(ConfigurationError, match=said):
        IntrospectionVerifier(clock=clock, **(given | changes))
