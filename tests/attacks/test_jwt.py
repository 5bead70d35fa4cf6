"""ATTACKS.md, group "JWT and keys", at the verifier: every test is named by the row it stands for.

Where a row is about a whole connection (JW-46), its test is with the hosts. JW-42 is about tokens that wsauth issues,
and it issues none yet.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from tests.issuing import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    SteppedClock,
    as_json,
    base64url,
    claims,
    eventually,
    forged,
    presented,
    private_key,
    provider,
    public_jwk,
    public_pem,
    response,
    signed,
    verdict,
)
from wsauth.errors import ConfigurationError, Refused
from wsauth.services.keys.keysets import COOLDOWN, LIFETIME, MAX_STALE
from wsauth.verifiers.jwt import JWTVerifier

ALICE = f"{ISSUER}|alice"
REFUSED = ("token_invalid", "not mine")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ALGORITHMS = ["HS256", "RS256", "PS256", "ES256", "EdDSA"]


def verifier(algorithm: str = "HS256", **changes: Any) -> JWTVerifier:
    """Return a verifier of the test issuer's tokens with a key for one algorithm."""
    settings: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "clock": SteppedClock()}
    if not {"secret", "jwks", "jwks_url", "public_key"} & changes.keys():
        key = {"secret": SECRET} if algorithm == "HS256" else {"public_key": public_pem(algorithm)}
        settings |= key
    return JWTVerifier(**settings | changes)


def header(**members: Any) -> bytes:
    """Return a header as JSON."""
    return as_json({"alg": "HS256", "typ": "JWT"} | members)


async def refused(it: JWTVerifier, token: str) -> bool:
    """Tell whether a token is refused or left to others, and never cached."""
    code = await verdict(it, token)
    return code in REFUSED and it.recall(presented(token)) is None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE", "none "])
async def test_jw_01_alg_none(none: str, algorithm: str) -> None:
    """An unsigned token is refused however `none` is spelt and whatever stands for the signature."""
    it = verifier(algorithm)
    unsigned = f"{base64url(header(alg=none))}.{base64url(as_json(claims()))}"
    for token in (unsigned, f"{unsigned}.", f"{unsigned}.AAAA", f"{unsigned}.{signed(claims()).split('.')[2]}"):
        assert await refused(it, token)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_jw_02_null_signature(algorithm: str) -> None:
    """A good token without its signature, or with an empty one, is refused."""
    it, token = verifier(algorithm), signed(claims(), algorithm)
    head, payload, _ = token.split(".")
    for cut in (f"{head}.{payload}.", f"{head}.{payload}", f"{head}.{payload}.AA", f"{head}.{payload}.AAAA"):
        assert await refused(it, cut)
    assert await verdict(it, token) == ALICE


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_jw_03_public_key_as_hmac_secret(algorithm: str) -> None:
    """An HS256 token made with the public key in any form is refused, and that key is no secret for us either."""
    public = private_key(algorithm).public_key()
    pem = public_pem(algorithm)
    forms = [pem, pem.strip(), pem + b"\n", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)]
    forms += [as_json(public_jwk(algorithm)), json.dumps(public_jwk(algorithm)).encode()]
    if isinstance(public, rsa.RSAPublicKey):
        forms += [public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)]
        forms += [base64.urlsafe_b64decode(public_jwk(algorithm)["n"] + "==")]
    for it in (verifier(algorithm), verifier(jwks={"keys": [public_jwk(algorithm, kid="k")]})):
        for form in forms:
            for members in ({}, {"kid": "k"}):
                assert await refused(it, _hmac_token(form, **members))
    for form in forms[:6]:
        with pytest.raises(ConfigurationError, match="secret"):
            verifier(secret=form)


def _hmac_token(key: bytes, **members: Any) -> str:
    """Sign with a key that PyJWT would not take."""
    text = f"{base64url(header(**members))}.{base64url(as_json(claims()))}"
    return f"{text}.{base64url(hmac.digest(key, text.encode(), hashlib.sha256))}"


@pytest.mark.parametrize(
    ("allowed", "named", "used"),
    [
        (["RS256"], "RS512", "RS512"),
        (["RS256"], "PS256", "PS256"),
        (["PS256"], "RS256", "RS256"),
        (["RS256"], "RS256", "RS512"),
        (["RS256"], "RS256", "PS256"),
        (["RS256", "PS256"], "PS256", "RS256"),
        ([], "RS512", "RS512"),
        ([], "RS384", "RS384"),
        ([], "PS512", "PS512"),
        ([], "rs256", "RS256"),
    ],
)
async def test_jw_05_header_and_key_disagree(allowed: list[str], named: str, used: str) -> None:
    """A token passes only by an algorithm that is configured, named in its header and really used."""
    it = verifier("RS256", algorithms=allowed)
    token = forged(header(alg=named), as_json(claims()), used, private_key("RS256"))
    assert await refused(it, token)


async def test_jw_05_a_jwks_alg_binds_its_key() -> None:
    """A key that is published for PS256 verifies no RS256 token."""
    it = verifier(jwks={"keys": [public_jwk("RS256", kid="k", alg="PS256")]})
    assert await refused(it, signed(claims(), "RS256", kid="k"))
    assert await verdict(it, signed(claims(), "PS256", kid="k")) == ALICE


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
async def test_jw_06_embedded_key(algorithm: str) -> None:
    """A token that brings its own key is refused, even where that key is ours."""
    own = {"kty": "oct", "k": base64url(b"mallory" * 6)}
    mallory = public_jwk("RS256", "mallory")
    for jwk, alg, key in ((own, "HS256", "mallory" * 6), (mallory, "RS256", private_key("RS256", "mallory"))):
        token = forged(header(alg=alg, jwk=jwk), as_json(claims()), alg, key)
        assert await refused(verifier(algorithm), token)
    assert await refused(verifier(), forged(header(jwk={"kty": "oct"}), as_json(claims())))


@pytest.mark.parametrize("name", ["jku", "x5u"])
async def test_jw_07_key_url(name: str) -> None:
    """A header that says where a key is starts no request."""
    async with provider() as mallory, provider() as it:
        mallory.publish(public_jwk("RS256", "mallory", kid="k"))
        it.publish(public_jwk("RS256", kid="k"))
        mine = verifier(jwks_url=f"{it.url}/jwks")
        token = signed(claims(), "RS256", "mallory", kid="k", **{name: f"{mallory.url}/jwks"})
        assert await refused(mine, token)
        assert (mallory.asked, it.asked) == ([], [])
        await mine.aclose()


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "x' UNION SELECT '1';--",
        "|sleep 10",
        "''",
        "",
        "\x00",
        "k\x00",
        "k" * 65_536,
        ["k"],
        7,
        None,
        True,
        {"k": 1},
    ],
)
async def test_jw_09_kid_injection(kid: object) -> None:
    """A key id is only ever looked up in a table in memory, and nothing hostile in it takes time."""
    it = verifier(jwks={"keys": [public_jwk("ES256", kid="k"), public_jwk("ES256", "2", kid="k2")]})
    local = verifier(jwks={"keys": [{"kty": "oct", "k": base64url(SECRET.encode()), "kid": "k"}]})
    began = time.perf_counter()
    for key in (b"\x00", b"1", SECRET.encode()):
        assert await refused(it, _hmac_token(key, kid=kid))
        assert await refused(local, _hmac_token(key, kid=kid))
    assert time.perf_counter() - began < 0.3


async def test_jw_10_missing_kid() -> None:
    """Without a `kid` the only key for the algorithm is meant; of several none is tried."""
    rsa_key, one, two = public_jwk("RS256", kid="r"), public_jwk("ES256", kid="1"), public_jwk("ES256", "2", kid="2")
    it = verifier(jwks={"keys": [rsa_key, one, two]})
    assert await verdict(it, signed(claims(), "RS256")) == ALICE
    assert await refused(it, signed(claims(), "ES256"))
    assert await verdict(it, signed(claims(), "ES256", kid="1")) == ALICE
    secrets = [{"kty": "oct", "k": base64url(each.encode()), "kid": each[:4]} for each in (SECRET, SECRET[::-1])]
    assert await refused(verifier(jwks={"keys": secrets}), signed(claims()))


async def test_jw_11_unknown_kid_flood() -> None:
    """Ten thousand unknown ids make one request for each cooldown, and a failing endpoint takes no key away."""
    clock = SteppedClock()
    async with provider() as it:
        it.publish(public_jwk("ES256", kid="k"))
        mine = verifier(jwks_url=f"{it.url}/jwks", clock=clock)
        await mine.start()
        it.break_down()
        body, signature = signed(claims(), "ES256").split(".")[1:]
        flood = [f"{base64url(header(alg='ES256', kid=f'x{n}'))}.{body}.{signature}" for n in range(10_000)]
        clock.advance(COOLDOWN)
        for start in range(0, len(flood), 500):
            codes = await asyncio.gather(*(verdict(mine, token) for token in flood[start : start + 500]))
            assert set(codes) == {"token_invalid"}
        assert len(it.asked) == 2
        assert await verdict(mine, signed(claims(), "ES256", kid="k")) == ALICE
        await mine.aclose()


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512", "nonsense"])
async def test_jw_11_another_algorithm_asks_for_nothing(algorithm: str) -> None:
    """A token by an algorithm that fetched keys cannot have starts no request, whatever its `kid`."""
    async with provider() as it:
        it.publish(public_jwk("ES256", kid="k"))
        mine = verifier(jwks_url=f"{it.url}/jwks")
        assert await refused(mine, forged(header(alg=algorithm, kid="x"), as_json(claims())))
        assert it.asked == []


@pytest.mark.parametrize("issuer", ["{url}/", "{url}", "https://idp.example.evil/", ISSUER + "/../x", "{{{{tenant}}}}"])
async def test_jw_13_iss_driven_fetch(issuer: str) -> None:
    """An `iss` that is not configured starts no request, neither to it nor to the configured issuer."""
    async with provider() as mallory, provider() as it:
        mallory.publish(public_jwk("ES256", "mallory", kid="k"))
        it.publish(public_jwk("ES256", kid="k"))
        token = signed(claims(iss=issuer.format(url=mallory.url)), "ES256", "mallory", kid="k")
        assert await refused(JWTVerifier(issuer=it.url, audience=AUDIENCE, clock=SteppedClock()), token)
        assert await refused(verifier(jwks_url=f"{it.url}/jwks"), token)
        assert (mallory.asked, it.asked) == ([], [])


@pytest.mark.parametrize("secret", ["secret", "", SECRET[:31], b"", b"0" * 31, "your-256-bit-secret"])
def test_jw_14_weak_hmac_secret(secret: str | bytes) -> None:
    """A secret that is empty or under 256 bits stops the start."""
    with pytest.raises(ConfigurationError, match="secret"):
        verifier(secret=secret)


def _weak_rsa(bits: int) -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, bits).public_key(), as_dict=True))


@pytest.mark.parametrize(
    "jwk",
    [
        _weak_rsa(1024),
        _weak_rsa(1536),
        public_jwk("RS256", e="AQ"),
        public_jwk("ES256", x=public_jwk("ES256", "2")["x"]),
        public_jwk("RS256", use="enc"),
        public_jwk("RS256", key_ops=["encrypt"]),
    ],
)
async def test_jw_15_weak_or_misused_public_key(jwk: dict[str, Any]) -> None:
    """Such a key stops the start where it is configured, and is passed over where it is fetched."""
    with pytest.raises(ConfigurationError, match="jwks"):
        verifier(jwks={"keys": [jwk]})
    async with provider() as it:
        it.publish(dict(jwk, kid="k"))
        mine = verifier(jwks_url=f"{it.url}/jwks")
        assert await verdict(mine, signed(claims(), "RS256", kid="k")) == "unavailable"
        await mine.aclose()


@pytest.mark.parametrize(
    "members",
    [{"crit": ["x"], "x": 1}, {"crit": []}, {"crit": "exp"}, {"crit": ["nope"]}, {"crit": ["exp"]}, {"crit": 1}],
)
async def test_jw_17_crit(members: dict[str, Any]) -> None:
    """A header with `crit` is refused whatever it says, for we know no extension."""
    assert await refused(verifier(), forged(header(**members), as_json(claims())))


async def test_jw_17_crit_unprotected() -> None:
    """A JSON serialization with an unprotected header is no token here."""
    head, payload, signature = signed(claims()).split(".")
    text = json.dumps({"protected": head, "header": {"crit": ["x"]}, "payload": payload, "signature": signature})
    assert await refused(verifier(), text)


@pytest.mark.parametrize("members", [{"b64": False}, {"b64": False, "crit": ["b64"]}, {"b64": True}])
async def test_jw_18_unencoded_payload(members: dict[str, Any]) -> None:
    """`b64` is refused with and without `crit`, encoded payload or not."""
    head = base64url(header(**members))
    assert await refused(verifier(), forged(header(**members), as_json(claims())))
    maker = jwt.PyJWS().get_algorithm_by_name("HS256")
    raw = f"{head}.{as_json(claims()).decode()}"
    signature = base64url(maker.sign(raw.encode(), maker.prepare_key(SECRET)))
    assert await refused(verifier(), f"{raw}.{signature}")


@pytest.mark.parametrize(
    ("head", "payload"),
    [
        (b'{"alg":"none","alg":"HS256"}', as_json(claims())),
        (b'{"alg":"HS256","alg":"none"}', as_json(claims())),
        (b'{"alg":"HS256","kid":"a","kid":"b"}', as_json(claims())),
        (header(), as_json(claims())[:-1] + b',"sub":"admin"}'),
        (header(), as_json(claims())[:-1] + b',"\\u0073ub":"admin"}'),
        (header(), as_json(claims())[:-1] + b',"x":{"a":1,"a":2}}'),
    ],
)
async def test_jw_19_duplicate_members(head: bytes, payload: bytes) -> None:
    """A member that stands twice, at any depth and in any spelling, makes two readings and is refused."""
    assert await refused(verifier(), forged(head, payload))


def _with_claim(value: bytes) -> bytes:
    return as_json(claims())[:-1] + b',"x":' + value + b"}"


@pytest.mark.parametrize(
    "payload",
    [
        as_json(claims()) + b" x",
        as_json(claims()) + b"{}",
        b"\x00" + as_json(claims()),
        b"[1]",
        b'"x"',
        b"null",
        b"",
        _with_claim(b"NaN"),
        _with_claim(b"Infinity"),
        _with_claim(b"1e400"),
        _with_claim(b"9" * 5_000),
        _with_claim(b"[" * 5_000 + b"]" * 5_000),
        _with_claim(b'{"a":' * 1_500 + b"1" + b"}" * 1_500),
        _with_claim(b'"\xff"'),
        _with_claim(b'"\\ud800"'),
        _with_claim(b"9" * 100_000),
        _with_claim(b"[" * 100_000),
    ],
)
async def test_jw_21_hostile_json(payload: bytes) -> None:
    """Trailing text, odd numbers, deep and other JSON are refused quickly, in the header as in the payload."""
    it = verifier()
    tokens = (forged(header(), payload), forged(payload, as_json(claims())))
    began = time.perf_counter()
    for token in tokens:
        assert await refused(it, token)
    assert time.perf_counter() - began < 0.2


def _variants(token: str) -> list[str]:
    head, payload, signature = token.split(".")
    variants = [f" {token}", f"{token} ", f"\t{token}", f"{token}\n", f"{token}\r\n", f"{token}=", f"{token}\x00"]
    variants += [f"{head}=.{payload}.{signature}", f"{head}.{payload}.{signature}==", f"{head}.{payload}.####"]
    variants += [f"{head}.{payload}.+{signature[1:]}", f"{head}.{payload}./{signature[1:]}"]
    variants += [
        f"{head}.{payload}",
        f"{token}.",
        f"{token}.{signature}",
        f"{token}.a.b",
        f"{token}.a.b.c",
        f".{token}",
    ]
    variants += [f"{head}..{signature}", f"{head}.{payload[:5]}\n{payload[5:]}.{signature}", f"Bearer {token}"]
    variants += [f"{head}.{payload}.{signature}é", f"\ufeff{token}", f"{head}.{payload}.\uff21{signature[1:]}"]
    return [*variants, json.dumps({"payload": payload, "protected": head, "signature": signature})]


@pytest.mark.parametrize("number", range(len(_variants("a.b.c"))))
async def test_jw_22_token_grammar(number: int) -> None:
    """Blanks, padding, other alphabets, other numbers of segments and other serializations are refused."""
    token = signed(claims(), "EdDSA")
    it = verifier("EdDSA")
    assert await refused(it, _variants(token)[number])
    assert await verdict(it, token) == ALICE


@pytest.mark.parametrize("segment", [0, 1, 2])
async def test_jw_23_non_canonical_base64url(segment: int) -> None:
    """A last character with unused bits set is refused in each segment, signed or not."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, payload = header(), as_json(claims())
    while len(head) % 3 == 0:
        head = head[:-1] + b" }"
    while len(payload) % 3 == 0:
        payload = payload[:-1] + b" }"
    segments = [base64url(head), base64url(payload)]
    if segment < 2:
        last = segments[segment][-1]
        segments[segment] = segments[segment][:-1] + alphabet[alphabet.index(last) + 1]
    text = ".".join(segments)
    maker = jwt.PyJWS().get_algorithm_by_name("HS256")
    signature = base64url(maker.sign(text.encode(), maker.prepare_key(SECRET)))
    if segment == 2:
        assert await verdict(verifier(), f"{text}.{signature}") == ALICE
        signature = signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]
    assert await refused(verifier(), f"{text}.{signature}")


@pytest.mark.parametrize(
    "members",
    [
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"alg": "PBES2-HS256+A128KW", "p2c": 2_147_483_647, "p2s": "AAAA", "enc": "A256GCM"},
        {"alg": "dir", "enc": "A256GCM"},
        {"cty": "JWT"},
        {"cty": "application/jwt"},
    ],
)
async def test_jw_25_jwe_where_jws_is_expected(members: dict[str, Any]) -> None:
    """Encrypted, compressed and nested tokens are refused by shape and header, at once."""
    head = base64url(header(**members))
    began = time.perf_counter()
    assert await refused(verifier(), f"{head}.AAAA.AAAA.AAAA.AAAA")
    assert await refused(verifier(), f"{head}..AAAA.AAAA.AAAA")
    nested = signed(claims()).encode()
    assert await refused(verifier(), forged(header(**members), nested))
    assert await refused(verifier(), forged(header(**members), as_json(claims())))
    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize(
    "value", ["absent", b'"1900000000"', b"true", b"-1", b"-1.5", b"NaN", b"1e20", b"100000000000000000000", b"null"]
)
async def test_jw_26_exp_types(value: str | bytes) -> None:
    """Only a number within sane bounds is an end."""
    payload = as_json(claims(exp=None))
    if isinstance(value, bytes):
        payload = payload[:-1] + b',"exp":' + value + b"}"
    assert await refused(verifier(), forged(header(), payload))


async def test_jw_26_a_fraction_is_a_number() -> None:
    """A NumericDate with a fraction is an end (RFC 7519 §2)."""
    assert await verdict(verifier(), signed(claims(exp=NOW + 60.5))) == ALICE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": NOW}, ALICE),
        ({"exp": NOW - 29}, ALICE),
        ({"exp": NOW - 30}, "token_expired"),
        ({"exp": NOW - 31}, "token_expired"),
        ({"nbf": NOW + 30}, ALICE),
        ({"nbf": NOW + 31}, "token_invalid"),
        ({"iat": NOW + 30}, ALICE),
        ({"iat": NOW + 31}, "token_invalid"),
    ],
)
async def test_jw_27_time_boundaries(changes: dict[str, Any], code: str) -> None:
    """Valid while now < exp + leeway, from nbf - leeway and iat - leeway on."""
    assert await verdict(verifier(), signed(claims(**({"iat": NOW - 60} | changes)))) == code


def test_jw_27_leeway_is_small() -> None:
    """A leeway of more than a minute stops the start."""
    assert verifier(leeway="60s").leeway == 60.0
    with pytest.raises(ConfigurationError, match="leeway"):
        verifier(leeway="61s")


@pytest.mark.parametrize(
    "audience",
    [None, "other", "cha", "chat2", "chat other", ["other"], [1, AUDIENCE], [[AUDIENCE]], {AUDIENCE: 1}, "", []],
)
async def test_jw_29_audience(audience: object) -> None:
    """A token that is for others, or for nobody, or says so oddly, is refused."""
    assert await refused(verifier(), forged(header(), as_json(claims(aud=audience))))
    assert await verdict(verifier(), signed(claims(aud=["other", AUDIENCE]))) == ALICE


@pytest.mark.parametrize(
    ("typ", "changes"),
    [
        ("JWT", {"aud": "client-of-alice", "nonce": "n", "at_hash": "x"}),
        ("logout+jwt", {}),
        ("JWT", {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "exp": NOW + 60}),
        ("secevent+jwt", {}),
        ("dpop+jwt", {"htm": "GET", "htu": "https://chat.example.com"}),
        ("JWT", {"cnf": {"jkt": "x"}}),
        ("JWT", {"aud": ISSUER, "typ": "Refresh"}),
        ("client-authentication+jwt", {}),
        ("JWT", {"iss": "client", "sub": "client", "aud": ISSUER}),
        ("wsauth-ticket+jwt", {}),
        ("wsauth-assertion+jwt", {}),
        ("it+jwt", {}),
        ("application/jose", {}),
    ],
)
async def test_jw_30_cross_jwt_confusion(typ: str, changes: dict[str, Any]) -> None:
    """Tokens that the same key signed for another purpose are refused by type, audience, issuer or a mark of theirs."""
    assert await refused(verifier(), forged(header(typ=typ), as_json(claims(**changes))))


async def test_jw_30_rfc_9068_can_be_required() -> None:
    """Where only `at+jwt` is configured, a plain JWT is refused, and both spellings of the type pass."""
    it = verifier(token_types=["at+jwt"])
    assert await refused(it, signed(claims()))
    assert await refused(it, forged(b'{"alg":"HS256"}', as_json(claims())))
    assert await verdict(it, signed(claims(), typ="at+jwt")) == ALICE
    assert await verdict(it, signed(claims(), typ="application/AT+JWT")) == ALICE


async def test_jw_31_same_key_elsewhere() -> None:
    """With one key for all, another environment's, tenant's or service's token is still refused."""
    production = verifier(required_claims={"tenant": "a"})
    assert await verdict(production, signed(claims(tenant="a"))) == ALICE
    for changes in ({"iss": "https://staging.example.com"}, {"aud": "chat-staging"}, {"tenant": "b"}, {"tenant": None}):
        assert await refused(production, signed(claims(**({"tenant": "a"} | changes))))


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"scope": ["read"]}, ()),
        ({"scope": {"read": True}}, ()),
        ({"scope": 7}, ()),
        ({"scope": "read:all"}, ("read:all",)),
        ({"scope": "read\twrite"}, ()),
        ({"scope": "read  write"}, ()),
        ({"scope": "read\nwrite"}, ()),
        ({"scope": "Read"}, ("Read",)),
        ({"scp": "read"}, ()),
        ({"scope": "wsauth:admin ** * read:* write"}, ("write",)),
    ],
)
async def test_jw_33_scope_parsing(changes: dict[str, Any], held: tuple[str, ...]) -> None:
    """Only exact, space-delimited names are permissions, and nothing implies another."""
    identity = await verifier().verify(presented(signed(claims(**changes))))
    assert identity is not None
    assert identity.permissions == held


async def test_jw_34_use_before_verify(caplog: pytest.LogCaptureFixture) -> None:
    """Of an unsigned token only alg, kid and iss show in a reason, cut short and on one line; nothing is logged."""
    it = verifier("ES256", jwks={"keys": [public_jwk("ES256", kid="k")]})
    secret_claims = claims(sub="sub-canary", aud="aud-canary", tenant="tenant-canary")
    with caplog.at_level(logging.DEBUG, "wsauth"):
        for members in ({"alg": "HS256"}, {"alg": "ES256", "kid": "k"}, {"alg": "X\n" * 50, "kid": "k"}):
            token = forged(header(**members), as_json(secret_claims))
            with pytest.raises(Refused) as no:
                await it.verify(presented(token))
            assert "canary" not in f"{no.value} {no.value.mend}"
            assert "\n" not in str(no.value)
            assert len(str(no.value)) < 250
    assert [line for line in caplog.records if line.name.startswith("wsauth")] == []


@pytest.mark.parametrize(
    "signature",
    [
        bytes(64),
        (P256_ORDER).to_bytes(32) + (1).to_bytes(32),
        (1).to_bytes(32) + (P256_ORDER).to_bytes(32),
        (P256_ORDER).to_bytes(32) * 2,
        b"\xff" * 64,
        encode_dss_signature(1, 1),
        bytes(63),
        bytes(65),
        bytes(96),
        (1).to_bytes(32) * 2,
    ],
)
async def test_jw_35_ecdsa_edge_signatures(signature: bytes) -> None:
    """Zero, the order of the group, DER and other lengths are no signatures."""
    text = signed(claims(), "ES256").rpartition(".")[0]
    assert await refused(verifier("ES256"), f"{text}.{base64url(signature)}")


async def test_jw_35_der_form_of_a_good_signature() -> None:
    """The very signature in DER is refused."""
    text, _, good = signed(claims(), "ES256").rpartition(".")
    raw = base64.urlsafe_b64decode(good + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    assert await refused(verifier("ES256"), f"{text}.{base64url(der)}")


async def test_jw_37_a_second_signature_is_the_same_token() -> None:
    """With n - s for s it is good too (no library refuses it), so what is revoked is the `jti`, which both have."""
    token = signed(claims(), "ES256")
    text, _, good = token.rpartition(".")
    raw = base64.urlsafe_b64decode(good + "==")
    other = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    it = verifier("ES256")
    first, second = await it.verify(presented(token)), await it.verify(presented(f"{text}.{base64url(other)}"))
    assert first is not None
    assert second is not None
    assert (first.issuer, first.token_id) == (second.issuer, second.token_id) == (ISSUER, "t1")
    assert await refused(it, f"{token}=")


async def test_jw_38_key_rotation() -> None:
    """Old and new key overlap; a key that is taken away is dead once the set is read, in the cache too."""
    clock = SteppedClock()
    old, new = public_jwk("ES256", "old", kid="old"), public_jwk("ES256", "new", kid="new")
    async with provider() as it:
        it.publish(old)
        mine = verifier(jwks_url=f"{it.url}/jwks", clock=clock)
        await mine.start()
        by_old, by_new = signed(claims(), "ES256", "old", kid="old"), signed(claims(), "ES256", "new", kid="new")
        assert await verdict(mine, by_old) == ALICE
        it.publish(old, new)
        clock.advance(COOLDOWN)
        assert await verdict(mine, by_new) == ALICE
        assert await verdict(mine, by_old) == ALICE
        it.publish(new)
        clock.advance(LIFETIME)
        await eventually(lambda: len(it.asked) == 3)
        await eventually(lambda: mine.recall(presented(by_new)) is None)
        assert mine.recall(presented(by_old)) is None
        assert await refused(mine, by_old)
        assert await verdict(mine, by_new) == ALICE
        await mine.aclose()


async def test_jw_39_jwks_outage() -> None:
    """Without keys nobody comes in; with keys an outage is borne for a day and no longer."""
    clock = SteppedClock()
    async with provider() as it:
        mine = verifier(jwks_url=f"{it.url}/jwks", clock=clock, max_ttl=0)
        token = signed(claims(exp=NOW + 10 * 86400), "ES256", kid="k")
        await mine.start()
        with pytest.raises(Refused) as no:
            await mine.verify(presented(token))
        assert (no.value.code, no.value.retry_after) == ("unavailable", 1.0)
        it.publish(public_jwk("ES256", kid="k"))
        clock.advance(1)
        assert await verdict(mine, token) == ALICE
        it.answers["/jwks"] = response(b"", status="503 Down")
        clock.advance(MAX_STALE - 1)
        assert await verdict(mine, token) == ALICE
        assert mine.recall(presented(token)) is not None
        clock.advance(1)
        assert mine.recall(presented(token)) is None
        assert await verdict(mine, token) == "unavailable"
        await mine.aclose()


async def test_jw_41_symmetric_and_asymmetric_issuers_mixed() -> None:
    """One issuer's secret signs nothing for another, by whichever verifier the token is seen."""
    a = verifier(issuer="https://a.example.com", secret=SECRET)
    b = verifier("RS256", issuer="https://b.example.com")
    for algorithm, key in (("HS256", SECRET), ("RS256", private_key("RS256"))):
        token = signed(claims(iss="https://b.example.com"), algorithm, key=key)
        assert await verdict(a, token) == "not mine"
        assert await verdict(b, token) == ("https://b.example.com|alice" if algorithm == "RS256" else "token_invalid")


async def test_jw_43_positive_verification_cache() -> None:
    """A kept verdict outlives neither `exp` nor five minutes, and a changed token has none."""
    clock = SteppedClock()
    it, token = verifier(clock=clock), signed(claims(exp=NOW + 100))
    assert await verdict(it, token) == ALICE
    head, payload, signature = token.split(".")
    for other in (f"{head}.{payload}.{signature[::-1]}", token + "A", token[:-1]):
        assert it.recall(presented(other)) is None
        assert await refused(it, other)
    clock.advance(130)
    assert it.recall(presented(token)) is None
    assert await verdict(it, token) == "token_expired"


def _forty_invalid_tokens() -> list[str]:
    wrong_claims: list[dict[str, Any]] = [
        {"aud": "x"}, {"aud": None}, {"aud": 7}, {"sub": None}, {"sub": ""}, {"exp": None}, {"exp": "x"}, {"exp": True},
        {"exp": -1}, {"exp": 10**15}, {"nbf": NOW + 99}, {"nbf": "x"}, {"iat": NOW + 99}, {"iat": "x"}, {"events": {}},
        {"cnf": {}}, {"exp": NOW + 10**6}, {"iat": 1, "exp": NOW + 9}, {"sub": 7}, {"auth_time": "x"},
    ]  # fmt: skip
    wrong_headers: list[dict[str, Any]] = [
        {"alg": "none"}, {"alg": "RS256"}, {"alg": "HS512"}, {"alg": 7}, {"typ": "logout+jwt"}, {"typ": 7}, {"kid": ""},
        {"kid": 7}, {"crit": []}, {"b64": True}, {"jwk": {}}, {"jku": "x"}, {"x5u": "x"}, {"x5c": []}, {"zip": "DEF"},
        {"cty": "JWT"}, {"enc": "x"},
    ]  # fmt: skip
    tokens = [forged(header(), as_json(claims(**changes))) for changes in wrong_claims]
    tokens += [forged(header(**changes), as_json(claims())) for changes in wrong_headers]
    good = signed(claims())
    return [*tokens, good[:-6] + "AAAAAA", signed(claims(), key=SECRET[::-1]), forged(header(), b"[]")]


async def test_jw_45_uniform_error() -> None:
    """Forty tokens, each bad in its own way, get one code; the reasons, for the log, differ."""
    it, reasons = verifier(), set()
    tokens = _forty_invalid_tokens()
    assert len(set(tokens)) == 40
    for token in tokens:
        with pytest.raises(Refused) as no:
            await it.verify(presented(token))
        assert no.value.code == "token_invalid"
        reasons.add(no.value.reason)
    assert len(reasons) > 25


async def test_jw_49_hmac_key_from_claims() -> None:
    """A key of another issuer, chosen by `kid`, `iss` or `sub`, verifies nothing for this one."""
    theirs = SECRET[::-1]
    keys = {"keys": [{"kty": "oct", "k": base64url(theirs.encode()), "kid": "mallory"}]}
    mallory = verifier(issuer="https://mallory.example.com", jwks=keys)
    mine = verifier(jwks={"keys": [{"kty": "oct", "k": base64url(SECRET.encode()), "kid": "k"}]})
    for payload in (claims(), claims(iss="https://mallory.example.com"), claims(sub="mallory")):
        for kid in ("mallory", "k"):
            assert await refused(mine, signed(payload, key=theirs, kid=kid))
    assert await verdict(mallory, signed(claims(), key=theirs, kid="mallory")) == "not mine"
