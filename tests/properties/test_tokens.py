"""Tokens of any shape: ours is the strictest of the judges, and never loses its countenance."""

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import joserfc.jwk
import joserfc.jws
import joserfc.jwt
import jwcrypto.jwk  # type: ignore[import-untyped] # jwcrypto has no types
import jwcrypto.jwt  # type: ignore[import-untyped] # jwcrypto has no types
import jwt
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.issuing import (
    AUDIENCE,
    ISSUER,
    SECRET,
    SteppedClock,
    as_json,
    base64url,
    claims,
    forged,
    presented,
    public_jwk,
    public_pem,
    signed,
    verdict,
)
from wsauth.core.tokens.envelope import open_envelope
from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import Refused
from wsauth.verifiers.jwt import JWTVerifier

ALGORITHMS = ["HS256", "RS256", "PS256", "ES256", "EdDSA"]
LEEWAY = 30


class Since(int):
    """Be seconds from now, whenever that is: the other judges know no clock but the machine's."""


def filled(members: dict[str, Any], now: int) -> dict[str, Any]:
    """Return the members with times for what was `Since`."""
    return {name: now + value if isinstance(value, Since) else value for name, value in members.items()}


def ours(algorithm: str, now: float = 0) -> JWTVerifier:
    """Return our judge of an algorithm's tokens, fresh, so that nothing is remembered."""
    key = {"secret": SECRET} if algorithm == "HS256" else {"public_key": public_pem(algorithm)}
    settings: dict[str, Any] = {
        "algorithms": [algorithm],
        "leeway": LEEWAY,
        "clock": SteppedClock(now or time.time()),
        **key,
    }
    return JWTVerifier(issuer=ISSUER, audience=AUDIENCE, **settings)


def as_jwk(algorithm: str) -> dict[str, Any]:
    """Return the key as the other judges take it."""
    if algorithm == "HS256":
        return {"kty": "oct", "k": base64url(SECRET.encode())}
    return public_jwk(algorithm)


def by_pyjwt(token: str, algorithm: str) -> None:
    """Raise when PyJWT refuses."""
    key = jwt.PyJWK.from_dict(as_jwk(algorithm), algorithm)
    options: Any = {"require": ["exp"]}
    jwt.decode(token, key, [algorithm], audience=AUDIENCE, issuer=ISSUER, leeway=LEEWAY, options=options)


class _Registry(joserfc.jws.JWSRegistry):
    max_header_length = 8192


def by_joserfc(token: str, algorithm: str) -> None:
    """Raise when joserfc refuses."""
    key = joserfc.jwk.JWKRegistry.import_key(as_jwk(algorithm))
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    with warnings.catch_warnings():
        # It warns of the name EdDSA (RFC 9864), and warnings are errors here.
        warnings.simplefilter("ignore")
        decoded = joserfc.jwt.decode(token, key, [algorithm], registry)
    rules: Any = {"exp": {"essential": True}, "iss": {"essential": True, "value": ISSUER}}
    rules["aud"] = {"essential": True, "value": AUDIENCE}
    joserfc.jwt.JWTClaimsRegistry(leeway=LEEWAY, **rules).validate(decoded.claims)


def by_jwcrypto(token: str, algorithm: str) -> None:
    """Raise when jwcrypto refuses."""
    judge = jwcrypto.jwt.JWT(algs=[algorithm], check_claims={"iss": ISSUER, "aud": AUDIENCE, "exp": None})
    judge.leeway = LEEWAY
    judge.deserialize(token, jwcrypto.jwk.JWK(**as_jwk(algorithm)))


JUDGES: list[Callable[[str, str], None]] = [by_pyjwt, by_joserfc, by_jwcrypto]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner), max_leaves=6
)
# Whole seconds well away from a boundary, for the judges' clocks do not stand still.
times = st.sampled_from([-90_000, -3600, -60, -20, 0, 20, 60, 3600, 80_000, 10**9]).map(Since)


def up_to_two(options: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return changes of at most two members, so that some of what comes out is still good."""
    names = st.lists(st.sampled_from(sorted(options)), max_size=2, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: options[name] for name in chosen}))


claim_changes = up_to_two(
    {
        "exp": times | values,
        "nbf": times | values,
        "iat": times | values,
        "aud": st.sampled_from([AUDIENCE, [AUDIENCE], ["x", AUDIENCE], [AUDIENCE, 1], "x", "cha"]) | values,
        "iss": st.sampled_from([ISSUER, ISSUER + "/", [ISSUER], None]),
        "sub": st.sampled_from(["alice", "", 7]) | values,
        "jti": st.just("t2") | values,
        "scope": values,
        "extra": values,
    },
)
header_changes = up_to_two(
    {
        "alg": st.sampled_from([*ALGORITHMS, "none", "RS512", "hs256"]) | values,
        "typ": st.sampled_from(["JWT", "at+jwt", "application/at+jwt", "jose"]) | values,
        "kid": st.sampled_from(["k", "../k"]) | values,
        "crit": st.sampled_from([[], ["exp"], ["b64"]]) | values,
        "b64": st.booleans(),
        "jwk": values,
        "cty": values,
        "zip": values,
        "x": values,
        "x5t": values,
        "nonce": values,
    },
)


@dataclass(frozen=True)
class Change:
    """Hold what is done to a token before and after it is signed."""

    claims: dict[str, Any]
    header: dict[str, Any]
    edit: str
    place: int
    character: str


nothing: st.SearchStrategy[dict[str, Any]] = st.just({})
unedited = st.just("")


def change(
    by_claims: st.SearchStrategy[dict[str, Any]] = nothing,
    by_header: st.SearchStrategy[dict[str, Any]] = nothing,
    edit: st.SearchStrategy[str] = unedited,
) -> st.SearchStrategy[Change]:
    """Return changes of the kinds that are given."""
    return st.builds(
        Change,
        by_claims,
        by_header,
        edit,
        st.integers(0, 4000),
        st.sampled_from("AQgw-_.=+/ \n\x00é9z"),
    )


changes = st.one_of(
    change(claim_changes),
    change(by_header=header_changes),
    change(edit=st.sampled_from(["cut", "put", "swap", "twice"])),
    change(claim_changes, header_changes),
)


def edited(token: str, edit: str, place: int, character: str) -> str:
    """Return the text with one change."""
    place %= len(token)
    if edit == "cut":
        return token[:place] + token[place + 1 :]
    if edit == "put":
        return token[:place] + character + token[place:]
    if edit == "swap":
        return token[:place] + character + token[place + 1 :]
    return token + token[place:] if edit == "twice" else token


def accepted(judge: Callable[[str, str], None], token: str, algorithm: str) -> bool:
    """Tell whether a judge raises nothing at all."""
    try:
        judge(token, algorithm)
    except Exception:  # noqa: BLE001 # each judge has a tree of errors of its own
        return False
    return True


@settings(max_examples=400)
@given(st.sampled_from(ALGORITHMS), changes)
async def test_jw_47_what_we_accept_everybody_accepts(algorithm: str, by: Change) -> None:
    """Whatever is done to a token before or after it is signed, we never accept what another library refuses."""
    head = as_json({"alg": algorithm, "typ": "JWT"} | by.header)
    now = int(time.time())
    payload = as_json(filled(claims(exp=Since(3600), iat=Since(0)) | by.claims, now))
    token = edited(forged(head, payload, algorithm), by.edit, by.place, by.character)
    result = await verdict(ours(algorithm, now), token)
    event(result if "|" not in result else "accepted")
    if "|" in result:
        assert [accepted(judge, token, algorithm) for judge in JUDGES] == [True] * len(JUDGES)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_jw_47_the_judges_accept_a_good_token(algorithm: str) -> None:
    """All four accept the token that the corpus starts from, so that the comparison says something."""
    token = signed(filled(claims(exp=Since(3600), iat=Since(0)), int(time.time())), algorithm)
    assert await verdict(ours(algorithm), token) == f"{ISSUER}|alice"
    assert [accepted(judge, token, algorithm) for judge in JUDGES] == [True] * len(JUDGES)


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    edit=st.sampled_from(["cut", "put", "swap"]),
    place=st.integers(0, 4000),
    character=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."),
)
async def test_no_character_can_be_changed(algorithm: str, edit: str, place: int, character: str) -> None:
    """One character cut, put in or changed anywhere in a good token is one too many."""
    token = signed(filled(claims(exp=Since(3600), iat=Since(0)), int(time.time())), algorithm)
    other = edited(token, edit, place, character)
    expected = ["token_invalid", "not mine"] if other != token else [f"{ISSUER}|alice"]
    assert await verdict(ours(algorithm), other) in expected


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
async def test_any_text_gets_an_answer(text: str) -> None:
    """Whatever is presented, the answer is a verdict and no other error."""
    assert await verdict(ours("HS256"), text) in ("token_invalid", "not mine")
    assert ours("HS256").recall(presented(text)) is None


@given(st.binary(max_size=120), st.binary(max_size=120))
async def test_any_bytes_get_an_answer(head: bytes, payload: bytes) -> None:
    """Whatever bytes are signed with the right key, the answer is a verdict and no other error."""
    prefixed = b'{"alg":"HS256"' + head
    for first in (head, prefixed, b'{"alg":"HS256"}'):
        assert await verdict(ours("HS256"), forged(first, payload)) in ("token_invalid", "not mine")


@given(st.dictionaries(st.text(), values))
def test_strict_json_reads_what_json_writes(members: dict[str, Any]) -> None:
    """An object of Python's own JSON comes back the same, or is refused for what JSON cannot say."""
    text = json.dumps(members)
    try:
        read = load_object(text.encode())
    except ValueError as error:
        event(str(error))
        read = members if "NaN" in text or "Infinity" in text or "\\ud" in text else {"refused": str(error)}
    assert read == members


@given(st.binary(max_size=300))
def test_strict_json_raises_only_value_errors(text: bytes) -> None:
    """Bytes of any kind are an object that Python's parser reads too, or a ValueError."""
    try:
        read = load_object(text)
    except ValueError:
        return
    assert read == json.loads(text)


@given(header_changes)
def test_an_envelope_never_has_a_forbidden_member(changes: dict[str, Any]) -> None:
    """Whatever the header, an envelope that opens has three texts and none of the members that change the rules."""
    text = forged(as_json({"alg": "HS256"} | changes), as_json(claims()))
    try:
        envelope = open_envelope(text)
    except Refused:
        return
    assert envelope is not None
    assert not {"crit", "b64", "jwk", "cty", "zip"} & changes.keys()
    assert envelope.key_id == changes.get("kid")
