"""CONTRACT sections 6 and 9: revocation, disconnection and what the report says."""

from typing import Any

import pytest

from tests.conformance.client import Site, token
from tests.issuing import ISSUER

OFFER = ["wsauth.v1"]


def _check(report: dict[str, Any], matched: int) -> None:
    assert report["matched"] == matched, report
    assert report["closed"] + report["cut"] == matched, report
    assert report["complete"] is True
    assert report["scope"] == "process"
    assert report["nodes"] == {"live": 1, "answered": 1, "silent": 0}
    assert 0 <= report["slowest"] <= 2


async def test_revoke_subject(chat: Site, alice: str, bob: str) -> None:
    """Revoking Alice closes all of her connections with 3000, and none of Bob's; her token is worthless."""
    presented = token(alice)
    async with (
        chat.open(token=presented) as one,
        chat.open(token=token(alice), offers=OFFER) as two,
        chat.open(token=token(bob)) as other,
    ):
        await two.hears("auth_success")
        _check(await chat.control("revoke", subject=alice), 2)
        await one.closed(3000, "token_revoked;id=")
        await two.hears("auth_error", code="token_revoked", action="login", closing=True)
        await two.closed(3000, "token_revoked;id=")
        assert await other.ask("hello") == "hello"
    await chat.says_no("token_revoked", 401, 3000, token=presented)
    await chat.sees(alice, ["disconnect", 3000], "OSError", "Closed")
    async with chat.open(token=token(alice, age=0)) as again:
        assert await again.ask("hello") == "hello"


async def test_revoke_token(chat: Site, alice: str) -> None:
    """Revoking one token leaves Alice's other connection open."""
    async with chat.open(token=token(alice, jti=f"t-{alice}")) as one, chat.open(token=token(alice)) as other:
        _check(await chat.control("revoke", token_id=f"t-{alice}"), 1)
        await one.closed(3000, "token_revoked;id=")
        assert await other.ask("hello") == "hello"


async def test_revoke_session(chat: Site, alice: str) -> None:
    """Revoking a session closes what came from it with session_revoked."""
    presented = token(alice, sid=f"s-{alice}")
    async with chat.open(token=presented) as one, chat.open(token=token(alice)) as other:
        _check(await chat.control("revoke", session_id=f"s-{alice}"), 1)
        await one.closed(3000, "session_revoked;id=")
        assert await other.ask("hello") == "hello"
    await chat.says_no("session_revoked", 401, 3000, token=presented)


async def test_revoked_while_pending(chat: Site, alice: str) -> None:
    """A token that is revoked before it is presented opens nothing in-band either."""
    presented = token(alice)
    async with chat.open() as socket:
        await socket.hears("auth_required")
        await chat.control("revoke", subject=alice, issuer=ISSUER)
        await socket.auth(presented)
        await socket.hears("auth_error", code="token_revoked", closing=False)


async def test_revoked_while_stale(chat: Site, alice: str) -> None:
    """A revocation has no grace: it closes a connection whose lease has just ended."""
    async with chat.open("/patient", token=token(alice, ttl=1.5), offers=OFFER) as socket:
        await socket.hears("auth_success")
        await socket.hears("auth_error", code="token_expired", closing=False)
        _check(await chat.control("revoke", subject=alice), 1)
        await socket.hears("auth_error", code="token_revoked", closing=True)
        await socket.closed(3000, "token_revoked;id=")


async def test_revoked_while_the_application_writes(chat: Site, alice: str) -> None:
    """A revocation ends a connection to which the application is writing, and its send raises."""
    async with chat.open(token=token(alice)) as socket:
        await socket.say("flood 0.01")
        await socket.hear()
        _check(await chat.control("revoke", subject=alice), 1)
        await socket.closed(3000, "token_revoked;id=")
    await chat.sees(alice, "OSError")


@pytest.mark.parametrize("path", ["/echo", "/deaf"], ids=["reading", "not-reading"])
async def test_disconnect_for_good(chat: Site, alice: str, path: str) -> None:
    """Without retry_after a disconnection says stop (3003), whether the application reads or not."""
    presented = token(alice)
    async with chat.open(path, token=presented, offers=OFFER) as socket:
        await socket.hears("auth_success")
        _check(await chat.control("disconnect", subject=alice), 1)
        await socket.hears("auth_error", code="disconnected", action="stop", closing=True)
        reason = await socket.closed(3003, "disconnected;id=")
        assert "retry_after" not in reason
    async with chat.open(token=presented) as again:
        assert await again.ask("hello") == "hello"


async def test_disconnect_for_a_while(chat: Site, alice: str) -> None:
    """With retry_after a disconnection says retry (1013) and when."""
    async with chat.open(token=token(alice)) as socket:
        _check(await chat.control("disconnect", subject=alice, issuer=ISSUER, retry_after="60"), 1)
        reason = await socket.closed(1013, "disconnected;id=")
        assert reason.endswith(";retry_after=60")


async def test_nobody_to_disconnect(chat: Site, bob: str) -> None:
    """Ending nobody's connections is no error."""
    report = await chat.control("disconnect", subject=bob, issuer=ISSUER)
    _check(report, 0)
