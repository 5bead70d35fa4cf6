"""Access tokens of our own: what is in them, how long they live, and what is none."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest

from tests.unit.services.ground import ISSUER, LIMITS, PASSWORD, Ground
from wsauth.core.feed import KEPT
from wsauth.core.identity import OWN_ISSUER
from wsauth.errors import ConfigurationError, Refused


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says, unchecked."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def code(it: Ground, token: str) -> str:
    """Return the code with which a token is refused, or whose it is."""
    try:
        identity = it.tokens.verify(token)
    except Refused as no:
        return no.code
    return "not ours" if identity is None else identity.subject


async def test_a_token_says_who_until_when_and_nothing_secret(it: Ground) -> None:
    """Subject, session, epoch, rights and times are the session's; the identity is that of the session."""
    await it.alice()
    await it.users.set_rights("alice", grants=["wsauth:revoke"])
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    token = it.access(known)
    assert {"iss", "aud", "sub", "jti", "iat", "exp", "sid", "epoch"} < set(claims_of(token))
    assert it.sessions.refresh_token(known.session) not in str(claims_of(token))
    assert known.user.password_hash not in str(claims_of(token))
    identity = it.tokens.verify(token)
    assert identity is not None
    assert identity.key == (OWN_ISSUER, "Alice")
    assert (identity.session_id, identity.claims["epoch"]) == (known.session.id, known.user.epoch)
    assert (identity.roles, identity.grants) == (("owner",), ("wsauth:revoke",))
    assert identity.expires_at == it.clock.now() + LIMITS.access


async def test_a_token_ends_with_its_session(it: Ground) -> None:
    """A minute before the session's end a token is good for a minute."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    it.clock.advance(LIMITS.idle - 60)
    token, expires_at = it.tokens.issue(known.user, known.session, LIMITS.ends_at(known.session))
    assert expires_at == it.clock.now() + 60
    it.clock.advance(59)
    assert code(it, token) == "Alice"
    it.clock.advance(1)
    assert code(it, token) == "token_expired"


async def test_a_remembered_token_ends_on_time(it: Ground) -> None:
    """However often it was found good, at its end it is refused."""
    token = it.tokens.issue_by_hand("alice", ttl=10)
    for _ in range(10):
        assert code(it, token) == "alice"
        it.clock.advance(1)
    assert it.tokens.recall(token) is None
    assert code(it, token) == "token_expired"


@pytest.mark.parametrize("ttl", [0, -1, KEPT + 1, float("inf"), float("nan")])
async def test_a_token_by_hand_lives_a_day_at_most(it: Ground, ttl: float) -> None:
    """So long revocations are kept; anything else that is no length of life is refused."""
    with pytest.raises(ConfigurationError):
        it.tokens.issue_by_hand("alice", ttl=ttl)


async def test_a_token_by_hand_has_the_users_rights_or_its_own(it: Ground) -> None:
    """With roles it keeps those and holds no grants; without it has the user's; a disabled user gets none."""
    await it.alice()
    user = await it.users.set_rights("alice", grants=["wsauth:admin"])
    own = it.tokens.verify(it.tokens.issue_by_hand("alice", ttl=60, user=user))
    given = it.tokens.verify(it.tokens.issue_by_hand("alice", ttl=60, user=user, roles=["guest"]))
    assert own is not None
    assert given is not None
    assert (own.subject, own.roles, own.grants) == ("Alice", ("owner",), ("wsauth:admin",))
    assert (given.roles, given.grants, given.claims["fixed"]) == (("guest",), (), True)
    await it.users.disable("alice")
    with pytest.raises(Refused, match="conflict"):
        it.tokens.issue_by_hand("alice", ttl=60, user=await it.users.get("alice"))


def changed(token: str, part: int, change: dict[str, Any]) -> str:
    """Return the token with members of its head (0) or claims (1) changed, and the old signature."""
    parts = token.split(".")
    content = json.loads(urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4)))
    encoded = json.dumps({**content, **change}, separators=(",", ":")).encode()
    parts[part] = urlsafe_b64encode(encoded).decode().rstrip("=")
    return ".".join(parts)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (1, {"sub": "mallory"}),
        (1, {"exp": 4e9}),
        (1, {"grants": ["wsauth:admin"]}),
        (0, {"alg": "none"}),
        (0, {"alg": "HS256"}),
        (0, {"typ": "JWT"}),
        (0, {"typ": "wsauth-assertion+jwt"}),
        (0, {"kid": "nonesuch"}),
    ],
    ids=str,
)
async def test_a_changed_token_is_refused(it: Ground, part: int, change: dict[str, Any]) -> None:
    """Mallory changes what a good token says, about herself or about how to check it."""
    token = it.tokens.issue_by_hand("bob", ttl=60)
    assert code(it, changed(token, part, change)) == "token_invalid"


async def test_what_another_purpose_signed_is_no_access_token(it: Ground) -> None:
    """The same key, claims of any form and other types: only an access token for us is one, at whichever address."""
    good = {"iss": ISSUER, "aud": "wsauth", "sub": "alice", "jti": "1", "iat": 0, "exp": 4e9}
    assert code(it, it.signing.sign("at+jwt", good)) == "alice"
    assert code(it, it.signing.sign("wsauth-assertion+jwt", good)) == "token_invalid"
    for change in ({"aud": "chat"}, {"aud": ["wsauth"]}, {"exp": "never"}, {"sub": None}, {"epoch": "9"}):
        assert code(it, it.signing.sign("at+jwt", {**good, **change})) == "token_invalid"
    # Another server on our store, which is reached by another address.
    assert code(it, it.signing.sign("at+jwt", {**good, "iss": "https://other.example.com"})) == "alice"
    assert code(it, it.signing.sign("at+jwt", {**good, "exp": it.clock.now()})) == "token_expired"
