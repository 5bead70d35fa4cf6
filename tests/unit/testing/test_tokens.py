"""wsauth.testing.tokens: the guard's own verifier judges tokens that the test makes."""

import secrets

import pytest

from tests.unit.testing.chat import ISSUER, chat
from wsauth import ConfigurationError, Credentials, Guard, Identity, JWTVerifier, PasswordVerifier, Refused
from wsauth.testing import FakeClock, TokenIssuer


async def judged(guard: Guard, token: str) -> Identity:
    """Return whom the guard takes the token for."""
    return await guard.authentication.verify(Credentials("token", token, source="header"), "/ws", "")


def guard_with(**options: object) -> Guard:
    """Return a guard with one verifier that has a secret of its own."""
    settings: dict[str, object] = {"issuer": ISSUER, "audience": ["api", "chat"], "secret": secrets.token_hex(32)}
    verifier = JWTVerifier(**(settings | options))  # type: ignore[arg-type]  # whatever a test wants to try
    return Guard(verifiers=[verifier], origins=[])


async def test_a_token_is_whose_it_says() -> None:
    """Issuer, audience, required claims, nested roles and permissions are as the verifier wants them."""
    guard = chat().guard
    with TokenIssuer(guard) as tokens:
        token = tokens.token("alice", roles=["users"], permissions=["chat:read", "chat:write"], email="a@example.com")
        alice = await judged(guard, token)
    assert alice.key == (ISSUER, "alice")
    assert alice.roles == ("member",)
    assert alice.permissions == ("chat:read", "chat:write")
    assert alice.claims["email"] == "a@example.com"
    assert alice.claims["tenant"] == "blue"
    assert alice.token_id


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "PS256", "RS256", "HS256"])
async def test_its_key_can_do_what_the_verifier_allows(algorithm: str) -> None:
    """A verifier that allows one algorithm gets tokens of that one."""
    if algorithm == "HS256":
        guard = guard_with(algorithms=[algorithm])
    else:
        guard = guard_with(algorithms=[algorithm], secret=None, jwks_url="http://127.0.0.1:9/keys")
    with TokenIssuer(guard) as tokens:
        assert (await judged(guard, tokens.token("alice"))).subject == "alice"


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": None, "name": "anyone"},
        {"audience": None},
        {"token_types": ["application/special+jwt"]},
        {"subject_claim": "user.id"},
        {"subject_claim": "https://example.com/user"},
        {"permissions_claim": "https://example.com/rights"},
        {"permissions_claim": "rights", "roles_claim": "groups", "roles": "*"},
    ],
    ids=str,
)
async def test_it_follows_the_verifiers_settings(options: dict[str, object]) -> None:
    """However claims are named, subject and permissions arrive."""
    guard = guard_with(**options)
    with TokenIssuer(guard) as tokens:
        alice = await judged(guard, tokens.token("alice", permissions=["chat:read"]))
    assert (alice.subject, alice.permissions) == ("alice", ("chat:read",))


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"ttl": -60.0}, "token_expired"),
        ({"aud": "billing"}, "token_invalid"),
        ({"iss": None}, "token_invalid"),
        ({"tenant": "red"}, "token_invalid"),
        ({"exp": None}, "token_invalid"),
    ],
    ids=str,
)
async def test_the_verifier_goes_on_judging(claims: dict[str, object], code: str) -> None:
    """A token that the configuration forbids is refused although its signature is good."""
    guard = chat().guard
    with TokenIssuer(guard) as tokens:
        token = tokens.token("mallory", **claims)  # type: ignore[arg-type]  # claims of every kind
        with pytest.raises(Refused) as refused:
            await judged(guard, token)
    assert refused.value.code in {code, "token_invalid" if "iss" in claims else code}


async def test_time_is_the_verifiers() -> None:
    """Tokens are made at the time of the verifier's clock, and die by it."""
    clock = FakeClock(1_900_000_000)
    guard = chat(clock).guard
    with TokenIssuer(guard) as tokens:
        token = tokens.token("alice", ttl=60)
        assert (await judged(guard, token)).expires_at == 1_900_000_060
        clock.advance(60)
        with pytest.raises(Refused, match="token_expired"):
            await judged(guard, token)


async def test_the_verifier_gets_its_keys_back() -> None:
    """After the issuer is closed its tokens are worthless, remembered ones too."""
    guard = guard_with()
    with TokenIssuer(guard) as tokens:
        token = tokens.token("alice")
        await judged(guard, token)
    with pytest.raises(Refused, match="token_invalid"):
        await judged(guard, token)


def test_a_guard_without_jwts_is_told_what_to_use() -> None:
    """Where no verifier takes JWTs, the error names the alternative."""
    guard = Guard(verifiers=[PasswordVerifier(lambda _name, _password: None)], origins=[])
    with pytest.raises(ConfigurationError, match=r"guard\.override"):
        TokenIssuer(guard)
    with pytest.raises(ConfigurationError, match=r"no JWTVerifier of 'https://other\.example'"):
        TokenIssuer(chat().guard, issuer="https://other.example")


def test_its_key_stays_hidden() -> None:
    """The representation shows whose tokens it makes, and nothing of the key."""
    with TokenIssuer(chat().guard) as tokens:
        assert repr(tokens) == f"TokenIssuer(JWTVerifier(issuer='{ISSUER}'), ES256)"
