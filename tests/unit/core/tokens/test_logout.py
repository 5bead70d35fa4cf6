"""Logout tokens, made by PyJWT and read by a verifier (OpenID Connect Back-Channel Logout 1.0); ATTACKS OA-22."""

from typing import Any

import pytest

from tests.issuing import AUDIENCE, ISSUER, NOW, SECRET, SteppedClock, claims, presented, signed
from wsauth.core.tokens.logout import Logout
from wsauth.errors import Refused
from wsauth.verifiers.jwt import JWTVerifier

CLIENT = "chat-web"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
GOOD: dict[str, Any] = {
    "iss": ISSUER, "aud": CLIENT, "iat": NOW, "exp": NOW + 120, "jti": "l-1", "sub": "alice", "sid": "s-1",
    "events": {EVENT: {}},
}  # fmt: skip


def verifier() -> JWTVerifier:
    """Judge what this run's secret has signed."""
    return JWTVerifier(issuer=ISSUER, audience=AUDIENCE, secret=SECRET, clock=SteppedClock())


def logout(changes: dict[str, Any] | None = None, *, typ: str = "logout+jwt", algorithm: str = "HS256") -> str:
    """Return a logout token with these changes; `None` takes a claim away."""
    said = {name: value for name, value in (GOOD | (changes or {})).items() if value is not None}
    return signed(said, algorithm, typ=typ)


@pytest.mark.parametrize(
    ("changes", "subject", "session"),
    [
        ({}, "alice", "s-1"),
        ({"sid": None}, "alice", None),
        ({"sub": None}, None, "s-1"),
        ({"aud": ["x", CLIENT]}, "alice", "s-1"),
    ],
)
async def test_whose_login_has_ended(changes: dict[str, Any], subject: str | None, session: str | None) -> None:
    """A session, or everything of a subject."""
    found = await verifier().read_logout(logout(changes), CLIENT)
    assert found == Logout("l-1", float(NOW), subject, session)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "n"}, {"nonce": ""}, {"events": None}, {"events": {}}, {"events": [EVENT]}, {"events": {EVENT: None}},
        {"events": {EVENT: []}}, {"events": {"http://schemas.openid.net/event/other": {}}}, {"sub": None, "sid": None},
        {"sub": 7}, {"sid": ""}, {"sid": ["s-1"]}, {"iss": "https://evil.example"}, {"aud": AUDIENCE}, {"aud": None},
        {"aud": [CLIENT + "x"]}, {"iat": NOW - 200}, {"iat": NOW + 60}, {"iat": None}, {"iat": "1"}, {"iat": True},
        {"exp": None}, {"exp": NOW - 31}, {"jti": None}, {"jti": ""}, {"jti": 1},
    ],
)  # fmt: skip
async def test_oa_22_what_is_no_logout_token(changes: dict[str, Any]) -> None:
    """OA-22: a nonce, no event, another one, nobody, another issuer or client, old, without end, without jti."""
    with pytest.raises(Refused) as no:
        await verifier().read_logout(logout(changes), CLIENT)
    assert no.value.code == "token_invalid"


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "logout", "secevent+jwt"])
async def test_oa_22_another_type_is_none(typ: str) -> None:
    """OA-22: only `logout+jwt` is one, with or without `application/`."""
    with pytest.raises(Refused):
        await verifier().read_logout(logout(typ=typ), CLIENT)
    assert await verifier().read_logout(logout(typ="application/logout+jwt"), CLIENT) is not None


async def test_oa_22_nobody_else_can_make_one() -> None:
    """OA-22: `none`, a foreign key, an access token, and what is no token at all."""
    unsigned = logout().split(".")
    for token in (
        f"{signed(GOOD, 'HS256', key='x' * 40, typ='logout+jwt')}",
        f"{unsigned[0]}.{unsigned[1]}.",
        signed(claims(), "HS256", typ="at+jwt"),
        "nonsense",
        "",
    ):
        with pytest.raises(Refused):
            await verifier().read_logout(token, CLIENT)


async def test_a_logout_token_is_no_access_token() -> None:
    """JW-30: it opens nothing, whatever it says."""
    token = signed(claims(events={EVENT: {}}), "HS256", typ="logout+jwt")
    with pytest.raises(Refused):
        await verifier().verify(presented(token))
