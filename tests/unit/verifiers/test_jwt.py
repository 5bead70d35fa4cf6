"""`JWTVerifier`: what it can be made of, and whose tokens it judges."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.issuing import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    SteppedClock,
    base64url,
    claims,
    forged,
    presented,
    private_key,
    public_jwk,
    public_pem,
    signed,
    verdict,
)
from wsauth.core.credentials import Credentials
from wsauth.errors import ConfigurationError
from wsauth.interfaces.verifier import Verifier
from wsauth.verifiers.jwt import JWTVerifier

ALICE = f"{ISSUER}|alice"
VECTORS = sorted((Path(__file__).parents[2] / "vectors" / "tokens").glob("*.json"))


def verifier(**changes: Any) -> JWTVerifier:
    """Return a verifier of the test issuer's tokens with these changes."""
    settings: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": SteppedClock()}
    if not {"secret", "jwks", "jwks_url", "public_key"} & changes.keys():
        settings["secret"] = SECRET
    return JWTVerifier(**settings | changes)


def configured_error(**changes: Any) -> str:
    """Return what is said of a configuration that cannot be."""
    with pytest.raises(ConfigurationError) as refused:
        verifier(**changes)
    return str(refused.value)


def test_it_is_a_verifier() -> None:
    """It has the face that the Guard asks for, and shows no secret."""
    it = verifier()
    assert isinstance(it, Verifier)
    assert (it.issuer, it.cookie, it.leeway, it.max_ttl) == (ISSUER, "", 30.0, 86400.0)
    assert repr(it) == f"JWTVerifier(issuer='{ISSUER}')"


class _Secret:
    def get_secret_value(self) -> str:
        return SECRET


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), _Secret()])
async def test_a_secret_may_be_text_bytes_or_wrapped(secret: object) -> None:
    """Each form of a secret verifies a token that was signed with it."""
    assert await verdict(verifier(secret=secret), signed(claims())) == ALICE


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_public_key_may_be_text_bytes_or_a_file(algorithm: str, tmp_path: Path) -> None:
    """PEM is taken as it is or from a file, by text or path, for every algorithm."""
    pem, file = public_pem(algorithm), tmp_path / "key.pem"
    file.write_bytes(pem)
    token = signed(claims(), algorithm, kid="any")
    for public_key in (pem, pem.decode(), str(file), file):
        assert await verdict(verifier(public_key=public_key), token) == ALICE


async def test_a_key_set_may_be_a_value_or_a_file(tmp_path: Path) -> None:
    """A JWK set is taken as a mapping or from a file."""
    jwks, file = (
        {"keys": [public_jwk("ES256", kid="e"), public_jwk("EdDSA", kid="d")]},
        tmp_path / "jwks.json",
    )
    file.write_text(json.dumps(jwks))
    for given in (jwks, file, str(file)):
        it = verifier(jwks=given)
        await it.start()
        assert await verdict(it, signed(claims(), "ES256", kid="e")) == ALICE
        assert await verdict(it, signed(claims(), "EdDSA", kid="d")) == ALICE
        assert await verdict(it, signed(claims(), "EdDSA", kid="e")) == "token_invalid"
        await it.aclose()


async def test_old_and_new_secret_work_side_by_side() -> None:
    """A key set of secrets lets a secret be changed without a gap."""
    old, new = SECRET, SECRET[::-1]
    keys = [{"kty": "oct", "k": base64url(each.encode()), "kid": kid} for each, kid in ((old, "1"), (new, "2"))]
    it = verifier(jwks={"keys": keys})
    assert await verdict(it, signed(claims(), key=old, kid="1")) == ALICE
    assert await verdict(it, signed(claims(), key=new, kid="2")) == ALICE
    assert await verdict(it, signed(claims(), key=new, kid="1")) == "token_invalid"
    assert await verdict(it, signed(claims(), key=new)) == "token_invalid"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": ""}, "issuer"),
        ({"issuer": True}, "issuer"),
        ({"audience": ""}, "audience"),
        ({"audience": []}, "audience"),
        ({"audience": [""]}, "audience"),
        ({"audience": True}, "audience"),
        ({"leeway": "61s"}, "leeway"),
        ({"leeway": "soon"}, "leeway"),
        ({"max_ttl": "long"}, "max_ttl"),
        ({"algorithms": ["none"]}, "none"),
        ({"algorithms": ["RS512"]}, "RS512"),
        ({"algorithms": ["RS256"]}, "secret"),
        ({"token_types": [7]}, "token_types"),
        ({"token_types": []}, "token_types"),
        ({"roles": "admin"}, "roles"),
        ({"secret": ""}, "secret"),
        ({"secret": 7}, "secret"),
        ({"secret": SECRET, "jwks_url": "https://login.example.com/jwks"}, "jwks_url and secret"),
        ({"public_key": ""}, "public_key"),
        ({"public_key": "missing.pem"}, "No such file"),
        ({"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA"}, "public_key"),
        ({"jwks": "missing.json"}, "No such file"),
        ({"jwks": {}}, "key set"),
        ({"jwks": {"keys": []}}, "no key"),
        ({"jwks": {"keys": [public_jwk("RS256", use="enc")]}}, "use is not sig"),
        ({"jwks_url": "http://login.example.com/jwks"}, "https"),
        ({"jwks_url": "https://user@login.example.com/jwks"}, "user name"),
        ({"jwks_url": "file:///etc/passwd"}, "URL"),
        ({"jwks_url": "https://login.example.com/jwks", "algorithms": ["HS256"]}, "HS256"),
        ({"secret": None, "issuer": None}, "there are no keys"),
        ({"secret": None, "issuer": "http://login.example.com"}, "https"),
        ({"secret": None, "issuer": "not a url"}, "URL"),
    ],
)
def test_what_cannot_work_stops_the_start(changes: dict[str, Any], said: str) -> None:
    """Each bad setting is a ConfigurationError that names it."""
    assert said in configured_error(**changes)


def test_no_error_repeats_a_secret() -> None:
    """A secret in the wrong place is not printed by the error about it."""
    for changes in ({"secret": "hunter2"}, {"public_key": SECRET}, {"jwks": SECRET}):
        assert "hunter2" not in configured_error(**changes)
        assert SECRET not in configured_error(**changes)


def test_what_is_not_checked_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """`None`, or false from a configuration file, works and says in the log what it means."""
    with caplog.at_level(logging.WARNING, "wsauth"):
        assert verifier(issuer=False, audience=False).issuer is None
    assert ["issuer=None" in line or "audience=None" in line for line in caplog.messages] == [True, True]
    caplog.clear()
    verifier()
    assert caplog.messages == []


@pytest.mark.parametrize(
    "token",
    ["opaque", "wsk_123", "a.b.c", signed(claims(iss="https://other.example.com")), signed(claims(iss=None))],
)
async def test_other_tokens_are_not_its_to_judge(token: str) -> None:
    """An opaque token and another issuer's are left to other verifiers."""
    assert await verdict(verifier(), token) == "not mine"


async def test_without_an_issuer_every_jwt_is_its_own() -> None:
    """`issuer=None` takes what comes, under its own name, which is `jwt` if it has none."""
    assert await verdict(verifier(issuer=None), signed(claims())) == "jwt|alice"
    it = verifier(issuer=None, name="legacy")
    assert await verdict(it, signed(claims(iss="https://other.example.com"))) == "legacy|alice"
    assert await verdict(it, signed(claims(iss=None))) == "legacy|alice"


async def test_only_its_own_cookie_brings_its_token() -> None:
    """A token in a cookie is judged by the verifier that names the cookie; tickets and passwords by none."""
    token = signed(claims())
    it, other = verifier(cookie="chat"), verifier()
    mine = Credentials("token", token, source="cookie", cookie="chat")
    assert await it.verify(mine) is not None
    assert it.recall(mine) is not None
    assert await it.verify(Credentials("token", token, source="cookie", cookie="else")) is None
    assert await other.verify(mine) is None
    assert other.recall(mine) is None
    assert await it.verify(Credentials("ticket", token, source="ticket")) is None
    assert await it.verify(Credentials("password", token, source="basic", username="alice")) is None


async def test_a_token_is_verified_once() -> None:
    """A second look returns the very same identity, without waiting, for at most five minutes."""
    clock = SteppedClock()
    it, token = verifier(clock=clock), signed(claims())
    assert it.recall(presented(token)) is None
    alice = await it.verify(presented(token))
    assert it.recall(presented(token)) is alice
    assert await it.verify(presented(token)) is alice
    clock.advance(299)
    assert it.recall(presented(token)) is alice
    clock.advance(1)
    assert it.recall(presented(token)) is None
    assert await it.verify(presented(token)) is not alice


async def test_a_verdict_never_outlives_the_token() -> None:
    """A cached token is gone when `exp` and the leeway are past."""
    clock = SteppedClock()
    it, token = verifier(clock=clock), signed(claims(exp=NOW + 60))
    assert await verdict(it, token) == ALICE
    clock.advance(89.9)
    assert it.recall(presented(token)) is not None
    clock.advance(0.1)
    assert it.recall(presented(token)) is None
    assert await verdict(it, token) == "token_expired"


async def test_a_refusal_is_not_remembered() -> None:
    """A token that was too early is good when its time has come."""
    clock = SteppedClock()
    it, token = verifier(clock=clock), signed(claims(nbf=NOW + 60))
    assert await verdict(it, token) == "token_invalid"
    assert it.recall(presented(token)) is None
    clock.advance(30)
    assert await verdict(it, token) == ALICE


async def test_a_configured_algorithm_is_the_only_one() -> None:
    """`algorithms` narrows what a key can do, and the log names the key to change."""
    it = verifier(public_key=public_pem("RS256"), algorithms=["PS256"])
    key = private_key("RS256")
    assert await verdict(it, signed(claims(), "PS256", key=key)) == ALICE
    assert await verdict(it, signed(claims(), "RS256", key=key)) == "token_invalid"


@pytest.mark.parametrize("header", [b'{"alg":"HS256"}', b'{"alg":"HS256","typ":"application/at+jwt"}'])
async def test_a_missing_typ_is_jwt_and_a_long_one_is_the_short_one(header: bytes) -> None:
    """RFC 7515 §4.1.9 as the default token types mean it."""
    token = forged(header, json.dumps(claims()).encode())
    assert await verdict(verifier(), token) == ALICE


def _with(vector: dict[str, Any], miss: dict[str, Any]) -> tuple[JWTVerifier, str]:
    configuration = vector["configuration"] | miss.get("configuration", {})
    algorithm, header = vector["algorithm"], dict(vector["header"])
    if algorithm == "HS256":
        configuration["secret"] = SECRET
    else:
        configuration["jwks"] = {"keys": [public_jwk(algorithm, kid=header["kid"], use="sig", alg=algorithm)]}
    payload = vector["claims"] | miss.get("claims", {})
    for name in miss.get("without", []):
        del payload[name]
    it = JWTVerifier(**configuration, clock=SteppedClock(vector["now"]))
    # PyJWT checks the type of `sub` when it encodes; the forged form does not.
    header = {"alg": algorithm} | header
    return it, forged(json.dumps(header).encode(), json.dumps(payload).encode(), algorithm)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
async def test_a_well_known_issuers_token_works_as_documented(path: Path) -> None:
    """Configured as the vector says, the vector's token gives the vector's identity."""
    vector = json.loads(path.read_text())
    it, token = _with(vector, {})
    identity = await it.verify(presented(token))
    assert identity is not None
    for name, expected in vector["identity"].items():
        value = getattr(identity, name)
        assert (list(value) if isinstance(value, tuple) else value) == expected, name


@pytest.mark.parametrize(
    ("path", "number"),
    [(path, number) for path in VECTORS for number in range(len(json.loads(path.read_text())["near_misses"]))],
    ids=lambda value: value.stem if isinstance(value, Path) else str(value),
)
async def test_a_near_miss_is_refused(path: Path, number: int) -> None:
    """One thing changed in a vector gives the verdict that stands beside it."""
    vector = json.loads(path.read_text())
    miss = vector["near_misses"][number]
    assert await verdict(*_with(vector, miss)) == miss["verdict"], miss["because"]


def test_there_is_a_vector_for_each_shape() -> None:
    """The shapes of how-to/issuers are there, so that a lost file is noticed."""
    assert [path.stem for path in VECTORS] == [
        "auth0",
        "cognito",
        "entra",
        "fastapi",
        "google",
        "keycloak",
        "okta",
        "supabase",
    ]
