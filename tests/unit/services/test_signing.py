"""Signing keys over a real store: made, rotated in three phases, removed; and who may read them."""

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import jwt
import pytest

from tests.issuing import SteppedClock
from tests.unit.services.ground import ISSUER, PASSWORD, Ground, ground
from wsauth.core.feed import KEPT
from wsauth.errors import ConfigurationError, Refused
from wsauth.services.keyfile import KeyFile
from wsauth.services.signing import ALGORITHMS, JWKS_LIFETIME


def key_of(token: str) -> str:
    """Return the id of the key that signed it."""
    head = token.split(".", maxsplit=1)[0]
    found: str = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    return found


def by_hand(it: Ground, ttl: float = 300.0) -> str:
    """Return a token that is signed now."""
    return it.tokens.issue_by_hand("alice", ttl=ttl)


def verdict(it: Ground, token: str) -> str:
    """Return whose it is, or the code of the refusal."""
    try:
        identity = it.tokens.verify(token)
    except Refused as no:
        return no.code
    return "not ours" if identity is None else identity.subject


async def test_a_new_key_is_published_before_it_signs(it: Ground) -> None:
    """For as long as others may keep the key set, and a minute, the old key signs; then the new one does."""
    old = key_of(by_hand(it))
    new = (await it.signing.rotate()).key_id
    assert {key["kid"] for key in it.signing.published()} == {old, new}
    it.clock.advance(JWKS_LIFETIME + 59)
    assert key_of(by_hand(it)) == old
    it.clock.advance(1)
    assert key_of(by_hand(it)) == new


async def test_the_old_key_verifies_until_all_that_it_signed_has_ended(it: Ground) -> None:
    """A token of a day, signed in the old key's last second, is good to its end although keys are rotated on."""
    old = key_of(by_hand(it))
    await it.signing.rotate()
    it.clock.advance(JWKS_LIFETIME + 59)
    token = by_hand(it, ttl=KEPT)
    assert key_of(token) == old
    it.clock.advance(KEPT - 1)
    await it.signing.rotate()
    assert verdict(it, token) == "alice"
    it.clock.advance(3)
    await it.signing.rotate()
    assert old not in {key.key_id for key in it.signing.all()}


async def test_an_emergency_signs_at_once(it: Ground) -> None:
    """`rotate --now` signs with the new key from the same moment on, also where one is waiting to sign."""
    await it.signing.rotate()
    it.clock.advance(1)
    urgent = (await it.signing.rotate(at_once=True)).key_id
    assert key_of(by_hand(it)) == urgent


async def test_the_key_that_signs_is_never_tidied_away(tmp_path: Path) -> None:
    """From EdDSA to ES256 and back, each for days: the EdDSA key that signs again outlives the next rotation."""
    clock = SteppedClock()
    for algorithm in ("EdDSA", "ES256"):
        async with ground(tmp_path, clock, algorithm=algorithm):
            clock.advance(3 * KEPT)
    async with ground(tmp_path, clock) as it:
        token = by_hand(it)
        await it.signing.rotate()
        assert verdict(it, token) == "alice"
        assert key_of(by_hand(it)) == key_of(token)


async def test_what_a_removed_key_signed_is_refused_at_once(it: Ground) -> None:
    """The token was found good a moment ago and is remembered; its key is removed, and it is refused."""
    token = by_hand(it)
    assert verdict(it, token) == "alice"
    await it.signing.rotate(at_once=True)
    await it.signing.remove(key_of(token))
    assert it.tokens.recall(token) is None
    assert verdict(it, token) == "token_invalid"
    assert verdict(it, by_hand(it)) == "alice"


async def test_a_removal_reaches_another_process(tmp_path: Path, it: Ground) -> None:
    """The other process reads its keys again, and forgets what the removed one verified."""
    async with ground(tmp_path, it.clock) as other:
        token = by_hand(it)
        assert verdict(other, token) == "alice"
        await it.signing.rotate(at_once=True)
        await it.signing.remove(key_of(token))
        await other.signing.load(make=False)
        assert verdict(other, token) == "token_invalid"
        assert verdict(other, by_hand(it)) == "alice"


async def test_the_only_key_that_signs_stays(it: Ground) -> None:
    """It cannot be removed, neither alone nor beside one that only waits to sign; an unknown one is not found."""
    only = key_of(by_hand(it))
    for _ in range(2):
        with pytest.raises(Refused, match="conflict"):
            await it.signing.remove(only)
        await it.signing.rotate()
    with pytest.raises(Refused, match="not_found"):
        await it.signing.remove("nonesuch")
    assert key_of(by_hand(it)) == only


async def test_processes_that_start_at_once_have_one_key(tmp_path: Path, it: Ground) -> None:
    """Whoever comes second takes the key that is there."""
    async with ground(tmp_path, it.clock) as other:
        assert [key.key_id for key in other.signing.all()] == [key.key_id for key in it.signing.all()]


async def test_another_key_file_opens_no_key(tmp_path: Path, it: Ground) -> None:
    """With another key file the store's keys cannot be read, and the text names the mend and no secret."""
    with pytest.raises(ConfigurationError, match="key"):
        async with ground(tmp_path, it.clock, key=KeyFile.in_memory()):
            raise AssertionError


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_stored_key_signs_nothing_without_the_key_file(tmp_path: Path, algorithm: str) -> None:
    """What stands in the store is neither the key nor in it, in any algorithm."""
    async with ground(tmp_path, algorithm=algorithm) as it:
        token = by_hand(it)
        assert verdict(it, token) == "alice"
        private = it.signing._private[key_of(token)].as_dict(private=True)
        secret = str(private["k" if algorithm == "HS256" else "d"])
        raw = (tmp_path / "wsauth.db").read_bytes() + (tmp_path / "wsauth.db-wal").read_bytes()
        assert secret.encode() not in raw
        assert urlsafe_b64decode(secret + "=" * (-len(secret) % 4)) not in raw


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
async def test_others_verify_our_tokens_with_what_is_published(tmp_path: Path, algorithm: str) -> None:
    """PyJWT, with nothing but the published key set, agrees; nothing private is in the set."""
    async with ground(tmp_path, algorithm=algorithm) as it:
        await it.alice()
        token = it.access(await it.sessions.login("alice", PASSWORD, "tokens"))
        (published,) = it.signing.published()
        assert not {"d", "k", "p", "q"} & set(published)
        claims = jwt.decode(
            token,
            jwt.PyJWK(published),
            algorithms=[algorithm],
            audience="wsauth",
            issuer=ISSUER,
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims["sub"] == "Alice"


async def test_a_shared_secret_is_never_published(tmp_path: Path) -> None:
    """With HS256 the key set is empty: whoever could verify could sign."""
    async with ground(tmp_path, algorithm="HS256") as it:
        assert it.signing.published() == []


async def test_another_algorithm_begins_beside_the_old_one(tmp_path: Path) -> None:
    """The configuration changes from EdDSA to ES256: new tokens are ES256, those of before are good to their end."""
    clock = SteppedClock()
    async with ground(tmp_path, clock) as before:
        token = by_hand(before)
    async with ground(tmp_path, clock, algorithm="ES256") as after:
        assert verdict(after, token) == "alice"
        assert key_of(by_hand(after)) != key_of(token)
        assert len(after.signing.published()) == 2
