"""Logout tokens that come again."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.issuing import AUDIENCE, ISSUER, NOW, SECRET, SteppedClock, signed
from wsauth.errors import Refused
from wsauth.server.oauth.logouts import _Logouts
from wsauth.server.problems import Unfit
from wsauth.verifiers.jwt import JWTVerifier

TOKEN = signed(
    {
        "iss": ISSUER, "aud": "web", "iat": NOW, "exp": NOW + 60, "jti": "l-1", "sub": "alice",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    },
    typ="logout+jwt",
)  # fmt: skip


async def test_a_log_out_that_could_not_be_carried_out_may_come_again() -> None:
    """A provider that was answered 503 sends the same token again, and that ends the logins; a third time it is old."""
    ended: list[tuple[str, str, float]] = []
    failing = [Refused("unavailable", "the store is locked", retry_after=1)]

    async def log_out(issuer: str, subject: str, session_id: None, until: float) -> None:
        if failing:
            raise failing.pop()
        ended.append((subject, issuer, until))

    verifier = JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET, name="idp", clock=SteppedClock())
    plane: Any = SimpleNamespace(
        guard=SimpleNamespace(verifiers=[verifier], log_out=log_out),
        local=SimpleNamespace(sessions=None),
        settings=SimpleNamespace(issuers=[SimpleNamespace(named="idp", kind="jwt", client_id="web")]),
    )
    logouts = _Logouts(plane)
    with pytest.raises(Refused, match="locked"):
        await logouts.take("idp", TOKEN, "192.0.2.1")
    await logouts.take("idp", TOKEN, "192.0.2.1")
    assert ended == [("alice", ISSUER, NOW)]
    with pytest.raises(Unfit, match="before"):
        await logouts.take("idp", TOKEN, "192.0.2.1")
