"""Credentials about which the application's own backend is asked, over real HTTP."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.issuing import NOW, Provider, SteppedClock, presented, provider, response
from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.errors import ConfigurationError, Refused
from wsauth.verifiers.http import HTTPVerifier

ASK = "/me"


MADE: list[HTTPVerifier] = []
"""The verifiers of one test, which are closed at its end."""


@pytest.fixture
async def it() -> AsyncGenerator[Provider]:
    """Run a backend that knows everybody as Alice."""
    async with provider() as found:
        found.answers[ASK] = {"subject": "alice"}
        MADE.clear()
        yield found
        for judge in MADE:
            await judge.aclose()


@pytest.fixture
def clock() -> SteppedClock:
    """Stand the time still."""
    return SteppedClock()


def verifier(it: Provider, clock: SteppedClock, **changes: Any) -> HTTPVerifier:
    """Ask that backend."""
    MADE.append(HTTPVerifier(url=it.url + ASK, clock=clock, **changes))
    return MADE[-1]


def cookie(value: str) -> Credentials:
    """Present the backend's cookie."""
    return Credentials("token", value, source="cookie", cookie="sessionid")


async def code(judge: HTTPVerifier, *, again: bool = False) -> str:
    """Return the code of the no."""
    with pytest.raises(Refused) as no:
        await (judge.recheck if again else judge.verify)(presented("t"))
    return no.value.code


async def test_a_cookie_goes_there_alone(it: Provider, clock: SteppedClock) -> None:
    """The named cookie is forwarded and nothing else; who, and until when, comes back."""
    found = await verifier(it, clock, cookie="sessionid").verify(cookie("abc"))
    assert found is not None
    assert found.key == ("http", "alice")
    assert (found.roles, found.permissions, found.expires_at) == ((), (), NOW + 300)
    ((head, _),) = it.requests
    assert head.startswith(f"GET {ASK} HTTP/1.1\r\n")
    assert "Cookie: sessionid=abc\r\n" in head
    assert "authorization" not in head.lower()


async def test_a_token_goes_there_as_it_came(it: Provider, clock: SteppedClock) -> None:
    """As `Authorization: Bearer`, whatever way it came here."""
    assert await verifier(it, clock).verify(Credentials("token", "t.o-k", source="message")) is not None
    ((head, _),) = it.requests
    assert "Authorization: Bearer t.o-k\r\n" in head
    assert "cookie" not in head.lower()


async def test_rights_and_the_end_come_back(it: Provider, clock: SteppedClock) -> None:
    """Roles through the map, permissions as names, and an end that is sooner than the next question."""
    it.answers[ASK] = {"subject": 7, "roles": ["staff", "x"], "permissions": ["a", "b:*"], "expires_in": 20}
    found = await verifier(it, clock, roles={"staff": "member"}, issuer="https://app.example").verify(presented("t"))
    assert found is not None
    assert found.key == ("https://app.example", "7")
    assert (found.roles, found.permissions, found.expires_at) == (("member",), ("a",), NOW + 20)


async def test_an_answer_of_another_shape_can_be_read(it: Provider, clock: SteppedClock) -> None:
    """As that of an API that says who its caller is."""
    it.answers[ASK] = {"id": 583231, "login": "octocat", "site": {"teams": ["core"]}}
    judge = verifier(it, clock, subject_claim="id", roles_claim="site.teams", roles="*", name="github")
    found = await judge.verify(presented("t"))
    assert found is not None
    assert (found.key, found.roles) == (("github", "583231"), ("core",))


@pytest.mark.parametrize(
    "no",
    [
        response(b"{}", status="401 Unauthorized"),
        response(b"{}", status="403 Forbidden"),
        {"subject": "alice", "expires_in": 0},
    ],
    ids=["401", "403", "over"],
)
async def test_a_no_is_a_no(it: Provider, clock: SteppedClock, no: Any) -> None:
    """Nobody's at first; whoever stands on it is told that the session has ended."""
    it.answers[ASK] = no
    judge = verifier(it, clock)
    assert await judge.verify(presented("t")) is None
    assert await code(judge, again=True) == "session_revoked"


@pytest.mark.parametrize(
    "answer",
    [
        {}, {"subject": ""}, {"subject": None}, {"subject": True}, {"subject": 1.5}, {"subject": ["alice"]}, [], "a",
        {"subject": "alice", "expires_in": "60"}, {"subject": "alice", "iat": "1"}, response(b"<p>Welcome</p>"),
        response(b"", status="204 No Content"), response(b"{}", "Location: /login", status="302 Found"),
        response(b"{}", status="404 Not Found"), response(b"{}", status="500 Oops"),
        response(b'{"subject": "alice", "subject": "root"}'),
    ],
)  # fmt: skip
async def test_anything_else_is_no_answer(it: Provider, clock: SteppedClock, answer: Any) -> None:
    """No subject, none that is one, a page, nothing, a redirect to the login, an error: nobody gets in."""
    it.answers[ASK] = answer
    assert await code(verifier(it, clock)) == "unavailable"
    assert await code(verifier(it, clock), again=True) == "unavailable"


async def test_a_cookie_and_a_token_of_one_value_are_two(it: Provider, clock: SteppedClock) -> None:
    """What is known of the one says nothing of the other."""
    judge = verifier(it, clock, cookie="sessionid")
    assert await judge.verify(cookie("abc")) is not None
    it.answers[ASK] = response(b"{}", status="401 Unauthorized")
    assert await judge.verify(presented("abc")) is None
    assert isinstance(await judge.verify(cookie("abc")), Identity)
    assert len(it.asked) == 2


async def test_a_cookie_of_an_answer_is_nobody_elses(it: Provider, clock: SteppedClock) -> None:
    """A backend that renews its cookie with every answer does not make the next one who is asked about Alice."""
    judge = verifier(it, clock, cookie="sessionid")
    it.answers[ASK] = response(b'{"subject": "alice"}', "Set-Cookie: sessionid=renewed; Path=/")
    assert await judge.verify(cookie("abc")) is not None
    await judge.verify(presented("junk"))
    await judge.verify(cookie("def"))
    assert [head.count("renewed") for head, _ in it.requests] == [0, 0, 0]


async def test_when_they_logged_in_may_be_said(it: Provider, clock: SteppedClock) -> None:
    """Then a revocation tells the sessions before it from those after it."""
    it.answers[ASK] = {"subject": "alice", "iat": NOW - 60}
    found = await verifier(it, clock).verify(presented("t"))
    assert found is not None
    assert found.claims["iat"] == NOW - 60


async def test_what_cannot_be_a_header_is_not_sent(it: Provider, clock: SteppedClock) -> None:
    """A line's end or a blank in a token, nothing, a cookie that nobody named, a password."""
    judge = verifier(it, clock)
    for each in (
        Credentials("token", "abc ", source="message"),
        Credentials("token", "", source="message"),
        Credentials("token", "a\r\nCookie: x=y", source="message"),
        cookie("abc"),
        Credentials("password", "p", source="basic", username="alice"),
    ):
        assert await judge.verify(each) is None
    assert it.asked == []


def test_what_cannot_work_is_refused(clock: SteppedClock) -> None:
    """A backend on another machine without TLS would see everybody's cookies pass in plain text."""
    with pytest.raises(ConfigurationError, match="is not https"):
        HTTPVerifier(url="http://app.example/me", clock=clock)


async def test_a_backend_that_answers_nonsense_is_complained_of_once_a_minute(
    it: Provider, clock: SteppedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """However many are asked about, the log has a line a minute."""
    it.answers[ASK] = response(b"<p>Welcome</p>")
    judge = verifier(it, clock)
    for each in range(10):
        with pytest.raises(Refused):
            await judge.verify(presented(f"t{each}"))
    assert caplog.text.count("cannot be used") == 1
    clock.advance(60)
    with pytest.raises(Refused):
        await judge.verify(presented("t"))
    assert caplog.text.count("cannot be used") == 2
