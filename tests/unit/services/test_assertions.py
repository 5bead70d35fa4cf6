"""Assertions: read by PyJWT as an upstream reads them, and good for nothing here."""

from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.issuing import AUDIENCE, SteppedClock
from tests.unit.services.ground import ISSUER, PASSWORD, Ground, ground
from wsauth.core.credentials import Credentials
from wsauth.core.identity import NOBODY, OWN_ISSUER, Identity
from wsauth.core.permissions import Permissions
from wsauth.errors import Refused
from wsauth.services.assertions import ASSERTION_TYPE, LIFETIME, LONGEST, Assertions
from wsauth.verifiers.jwt import JWTVerifier
from wsauth.verifiers.local import LocalVerifier

UPSTREAM = "ws://127.0.0.1:9000"
ALICE = Identity("alice", issuer=OWN_ISSUER, roles=["owner"], session_id="s1")
RIGHTS = Permissions(["chat:send"], ["rooms:*:read"])


def signed(it: Ground, who: Identity = ALICE, rights: Permissions = RIGHTS, audience: str = UPSTREAM) -> str:
    """Return an assertion for connection c1."""
    found = Assertions(it.signing, ISSUER, it.clock).sign(who, rights, audience=audience, connection_id="c1")
    assert found is not None
    return found


def read(it: Ground, assertion: str) -> dict[str, Any]:
    """Return what it says as an upstream learns it: the signature by our key set, `aud`, `iss` and `typ`.

    The clock of the test is not PyJWT's, so times are for the tests to look at.
    """
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict({"keys": it.signing.published()}).keys}
    key = keys[jwt.get_unverified_header(assertion)["kid"]]
    found = jwt.decode_complete(
        assertion,
        key,
        algorithms=["EdDSA", "ES256"],
        audience=UPSTREAM,
        issuer=ISSUER,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert found["header"]["typ"] == "wsauth-assertion+jwt"
    claims: dict[str, Any] = found["payload"]
    return claims


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
async def test_an_upstream_reads_who_and_what_and_which_connection(tmp_path: Path, algorithm: str) -> None:
    """By the published keys alone: the identity as a pair, its session and rights, the connection; nothing else."""
    async with ground(tmp_path, algorithm=algorithm) as it:
        claims = read(it, signed(it))
        assert jwt.get_unverified_header(signed(it))["alg"] == algorithm
    assert len(claims.pop("jti")) >= 22  # 128 bits in base64url
    now = int(it.clock.now())
    assert claims == {
        "iss": ISSUER,
        "aud": UPSTREAM,
        "sub": "alice",
        "issuer": "wsauth",
        "sid": "s1",
        "cid": "c1",
        "roles": ["owner"],
        "permissions": ["chat:send", "rooms:*:read"],
        "iat": now,
        "exp": now + LIFETIME,
    }


async def test_no_two_are_the_same(it: Ground) -> None:
    """For the same connection at the same moment, each has an id of its own, by which a replay is seen."""
    assert len({read(it, signed(it))["jti"] for _ in range(50)}) == 50


async def test_nobody_has_no_subject(it: Ground) -> None:
    """An anonymous connection has rights and an id, and neither subject, issuer nor session."""
    claims = read(it, signed(it, NOBODY, Permissions(["ticker:read"])))
    assert claims.keys() == {"iss", "aud", "jti", "iat", "exp", "cid", "roles", "permissions"}
    assert claims["permissions"] == ["ticker:read"]


@pytest.mark.parametrize(("left", "lives"), [(1.5, 1), (59.4, 59), (60.0, 60), (3600.0, 60)])
async def test_it_ends_with_the_identity_and_after_a_minute_at_most(it: Ground, left: float, lives: int) -> None:
    """Whole seconds, and none later than the credential's own end."""
    it.clock.advance(1 - it.clock.now() % 1)
    claims = read(it, signed(it, ALICE.replace(expires_at=it.clock.now() + left)))
    assert claims["iat"] == it.clock.now()
    assert claims["exp"] - claims["iat"] == lives
    assert type(claims["exp"]) is int


async def test_it_never_lives_longer_than_a_minute_between_two_seconds(it: Ground) -> None:
    """Half a second after the second, both times are rounded down."""
    it.clock.advance(1.5 - it.clock.now() % 1)
    claims = read(it, signed(it))
    assert (claims["iat"], claims["exp"]) == (it.clock.now() - 0.5, it.clock.now() + LIFETIME - 0.5)


async def test_long_lists_are_left_out_and_said_to_be(it: Ground) -> None:
    """First the permissions, then the roles: what is left is short enough, and says what is missing."""
    many = [f"rooms:{number}:read" for number in range(500)]
    assertion = signed(it, ALICE, Permissions(many))
    claims = read(it, assertion)
    assert len(assertion) <= LONGEST
    assert "permissions" not in claims
    assert (claims["truncated"], claims["roles"]) == (["permissions"], ["owner"])
    claims = read(it, signed(it, ALICE.replace(roles=many), RIGHTS))
    assert claims["truncated"] == ["permissions", "roles"]
    assert not claims.keys() & {"permissions", "roles"}
    assert (claims["sub"], claims["sid"], claims["cid"]) == ("alice", "s1", "c1")


async def test_what_just_fits_is_whole(it: Ground) -> None:
    """Up to 6 KiB nothing is left out."""
    fits = [f"rooms:{number:03}:read" for number in range(250)]
    assertion = signed(it, ALICE, Permissions(fits))
    assert LONGEST - 300 < len(assertion) <= LONGEST
    assert read(it, assertion)["permissions"] == fits


@pytest.mark.parametrize("subject", ["a" * 5000, "half of a pair: \ud800"], ids=["long", "no text"])
async def test_a_subject_is_never_left_out(it: Ground, subject: str) -> None:
    """Where the subject is too long or cannot be written there is no assertion, rather than one about nobody."""
    who = Identity(subject, issuer="shop", roles=["member"])
    assertions = Assertions(it.signing, ISSUER, it.clock)
    assert assertions.sign(who, RIGHTS, audience=UPSTREAM, connection_id="c1") is None


async def test_nobody_could_verify_a_secret_key(tmp_path: Path) -> None:
    """With HS256 there is no assertion."""
    async with ground(tmp_path, algorithm="HS256") as it:
        assertions = Assertions(it.signing, ISSUER, it.clock)
        assert assertions.sign(ALICE, RIGHTS, audience=UPSTREAM, connection_id="c1") is None


async def test_after_another_algorithm_the_new_one_decides(tmp_path: Path) -> None:
    """A store that still has an EdDSA key signs no assertion with HS256, and one with ES256."""
    clock = SteppedClock()
    async with ground(tmp_path, clock) as it:
        assert signed(it)
    async with ground(tmp_path, clock, algorithm="HS256") as it:
        assertions = Assertions(it.signing, ISSUER, it.clock)
        assert assertions.sign(ALICE, RIGHTS, audience=UPSTREAM, connection_id="c1") is None
    async with ground(tmp_path, clock, algorithm="ES256") as it:
        assert read(it, signed(it))["sub"] == "alice"


async def test_without_a_key_there_is_none(tmp_path: Path) -> None:
    """Nothing is signed before the keys are read."""
    async with ground(tmp_path) as it:
        unread = type(it)(it.store, it.key_file, it.clock)
        with pytest.raises(Refused, match="unavailable"):
            signed(unread)


# An assertion is made for a stranger's eyes; whoever has read one must get nothing for it here.


@pytest.mark.parametrize("audience", [UPSTREAM, "wsauth"])
async def test_it_is_no_credential_of_ours(it: Ground, audience: str) -> None:
    """Presented as a token it is refused, even if its audience were our own; as a cookie, a key or a ticket too."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    alice = it.tokens.verify(it.access(known))
    assert alice is not None
    assertion = signed(it, alice, audience=audience)
    verifier = LocalVerifier(it.tokens, it.sessions, it.users, secure=False)
    with pytest.raises(Refused, match="token_invalid"):
        await verifier.verify(Credentials("token", assertion, source="header"))
    with pytest.raises(Refused, match="credentials_invalid"):
        await verifier.verify(Credentials("token", assertion, source="cookie", cookie=verifier.cookie))
    with pytest.raises(Refused, match="ticket_invalid"):
        await it.tickets.redeem(assertion, "/ws", "")
    with pytest.raises(Refused, match="token_invalid"):
        await it.sessions.refresh(assertion)


async def test_it_is_no_token_for_somebody_who_trusts_our_keys(it: Ground) -> None:
    """Another wsauth, whose issuer we are, refuses it for its `typ` and its audience."""
    clock = SteppedClock(it.clock.now())
    keys = {"keys": it.signing.published()}
    for audience in (UPSTREAM, AUDIENCE):
        other = JWTVerifier(issuer=ISSUER, audience=AUDIENCE, jwks=keys, clock=clock)
        with pytest.raises(Refused, match="token_invalid") as no:
            await other.verify(Credentials("token", signed(it, audience=audience), source="header"))
        assert "typ" in no.value.reason


async def test_an_access_token_is_no_assertion(it: Ground) -> None:
    """The upstream tells the two apart by `typ` and `aud`, so that a stolen access token opens no upstream."""
    token = it.tokens.issue_by_hand("alice", ttl=60)
    assert jwt.get_unverified_header(token)["typ"] != ASSERTION_TYPE
    with pytest.raises(jwt.InvalidAudienceError):
        read(it, token)
