"""Keys that verify, each typed and bound to what it may do."""

import json
from base64 import b64decode, b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import RSAAlgorithm

from tests.issuing import SECRET, base64url, claims, private_key, public_jwk, public_pem, signed
from wsauth.core.tokens.envelope import open_envelope
from wsauth.core.tokens.keys import (
    ASYMMETRIC,
    SUPPORTED,
    KeyRefused,
    KeyUnfit,
    VerifyingKey,
    from_jwk,
    from_pem,
    from_secret,
    is_guessable,
)
from wsauth.errors import Refused


def check(key: VerifyingKey, token: str) -> None:
    """Verify a token's signature with the algorithm its header names."""
    envelope = open_envelope(token)
    assert envelope is not None
    key.verify(envelope.algorithm, envelope.signed, envelope.signature)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_verifies_what_its_private_half_signed(algorithm: str) -> None:
    """PEM and JWK of every type accept a PyJWT signature and refuse another key's."""
    for key in (
        from_pem(public_pem(algorithm), SUPPORTED),
        from_jwk(public_jwk(algorithm, kid="k"), SUPPORTED, remote=True),
    ):
        check(key, signed(claims(), algorithm))
        with pytest.raises(Refused, match="signature"):
            check(key, signed(claims(), algorithm, which="mallory"))


def test_a_secret_verifies_hs256_only() -> None:
    """A secret is bound to HS256 and refuses another secret's signature."""
    key = from_secret(SECRET.encode(), SUPPORTED)
    assert key.algorithms == ("HS256",)
    check(key, signed(claims()))
    with pytest.raises(Refused, match="signature"):
        check(key, signed(claims(), key=SECRET[::-1]))


def test_a_key_is_not_used_with_what_it_is_not_bound_to() -> None:
    """The algorithm that a token names must be among those the key was loaded with."""
    key = from_jwk(public_jwk("RS256", alg="RS256"), SUPPORTED, remote=True)
    assert key.algorithms == ("RS256",)
    with pytest.raises(Refused, match="alg"):
        check(key, signed(claims(), "PS256", key=private_key("RS256")))


def test_an_rsa_key_without_alg_can_both_paddings() -> None:
    """What the configuration allows narrows what a key can do."""
    assert from_pem(public_pem("RS256"), SUPPORTED).algorithms == ("RS256", "PS256")
    assert from_pem(public_pem("RS256"), ["PS256", "ES256"]).algorithms == ("PS256",)
    with pytest.raises(KeyUnfit):
        from_pem(public_pem("RS256"), ["ES256"])


def _weak_rsa(bits: int) -> rsa.RSAPublicKey:
    return rsa.generate_private_key(65537, bits).public_key()


def _rsa(bits: int) -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(_weak_rsa(bits), as_dict=True), key_ops=["verify"])


def _changed(algorithm: str, **members: Any) -> dict[str, Any]:
    jwk = public_jwk(algorithm, **members)
    return {name: value for name, value in jwk.items() if value is not None}


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(_rsa(1024), id="RSA 1024"),
        pytest.param(_rsa(1536), id="RSA 1536"),
        pytest.param(_changed("RS256", e="AQ"), id="e=1"),
        pytest.param(_changed("RS256", e="Aw"), id="e=3"),
        pytest.param(_changed("RS256", e="AQAA"), id="e even and small"),
        pytest.param(_changed("RS256", e="AQAC"), id="e even"),
        pytest.param(_changed("RS256", n=None), id="no n"),
        pytest.param(_changed("RS256", n=7), id="n a number"),
        pytest.param(_changed("ES256", x="AA", y="AA"), id="off curve"),
        pytest.param(_changed("ES256", x=public_jwk("ES256", "other")["x"]), id="x of another key"),
        pytest.param(_changed("EdDSA", x="AA"), id="short Ed25519"),
        pytest.param(_changed("ES256", kid=7), id="kid a number"),
        pytest.param(_changed("ES256", d="AA"), id="private"),
        pytest.param({"kty": "oct", "k": base64url(b"k" * 64)}, id="fetched secret"),
        pytest.param("key", id="a text"),
    ],
)
def test_a_broken_or_weak_jwk_is_refused(jwk: object) -> None:
    """A key that cannot keep tokens safe is refused when it is loaded."""
    with pytest.raises(KeyRefused):
        from_jwk(jwk, SUPPORTED, remote=True)


@pytest.mark.parametrize(
    "jwk",
    [
        _changed("RS256", use="enc"),
        _changed("RS256", key_ops=["encrypt"]),
        _changed("RS256", key_ops="verify"),
        _changed("RS256", alg="RS512"),
        _changed("RS256", alg="RSA-OAEP-256"),
        _changed("RS256", alg="HS256"),
        _changed("ES256", crv="P-384"),
        _changed("ES256", crv=["P-256"]),
        _changed("EdDSA", crv="X25519"),
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": ["RSA"]},
        {},
    ],
)
def test_a_key_for_something_else_is_unfit(jwk: dict[str, Any]) -> None:
    """Keys for encryption or of algorithms we do not have are told from broken ones."""
    with pytest.raises(KeyUnfit):
        from_jwk(jwk, SUPPORTED, remote=True)


def test_a_pem_key_of_another_kind_is_refused() -> None:
    """Private keys, foreign curves and plain text each get a reason."""
    private = private_key("ES256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(KeyRefused, match="private"):
        from_pem(private, SUPPORTED)
    spki = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for curve in (ec.SECP384R1(), ec.SECP256K1(), ec.BrainpoolP256R1()):
        with pytest.raises((KeyUnfit, KeyRefused)):
            from_pem(ec.generate_private_key(curve).public_key().public_bytes(*spki), SUPPORTED)
    with pytest.raises(KeyUnfit):
        from_pem(ed448.Ed448PrivateKey.generate().public_key().public_bytes(*spki), SUPPORTED)
    weak = _weak_rsa(1024).public_bytes(*spki)
    with pytest.raises(KeyRefused, match="2048"):
        from_pem(weak, SUPPORTED)
    with pytest.raises(KeyRefused, match="PEM"):
        from_pem(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", SUPPORTED)


def _as_secrets() -> list[bytes]:
    public = private_key("RS256").public_key()
    pem, pkcs1 = public_pem("RS256"), public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    jwk = json.dumps(public_jwk("RS256")).encode()
    body = b"".join(pem.splitlines()[1:-1])
    return [pem, pem.strip(), b"  " + pem, pkcs1, der, b64decode(body), body, b64encode(der), ssh, jwk]


@pytest.mark.parametrize("secret", _as_secrets())
def test_a_public_key_is_no_secret(secret: bytes) -> None:
    """PEM, DER, base64, SSH and JWK forms of a public key are refused as an HMAC secret."""
    with pytest.raises(KeyRefused, match="public or private key"):
        from_secret(secret, SUPPORTED)


@pytest.mark.parametrize(
    "secret",
    [
        b"a" * 64,
        b"ab" * 32,
        b"a-string-secret-at-least-256-bits-long",
        b"12345678901234567890123456789012",
        b"Your-256-Bit-Secret-your-256-bit-secret",
    ],
)
def test_a_secret_that_can_be_guessed_is_known_as_such(secret: bytes) -> None:
    """Monotonous and published secrets are told from drawn ones."""
    assert is_guessable(secret)
    assert not is_guessable(SECRET.encode())


@pytest.mark.parametrize("secret", [b"", b"hunter2", SECRET.encode()[:31]])
def test_a_short_secret_is_refused(secret: bytes) -> None:
    """A secret under 256 bits is refused with the command that draws a good one."""
    with pytest.raises(KeyRefused, match="openssl rand") as refused:
        from_secret(secret, SUPPORTED)
    assert not secret or secret.decode() not in str(refused.value)


def test_no_key_shows_its_secret() -> None:
    """`repr` of a key has its id and algorithms and nothing of the key."""
    key = from_jwk({"kty": "oct", "k": base64url(SECRET.encode()), "kid": "s1"}, SUPPORTED, remote=False)
    assert repr(key) == "VerifyingKey(key_id='s1', algorithms=('HS256',))"


@pytest.mark.parametrize("signature", [b"", b"\x00" * 64, b"\x00" * 63, b"\x00" * 65, b"\xff" * 96])
@pytest.mark.parametrize("algorithm", SUPPORTED)
def test_a_signature_of_any_length_is_just_wrong(algorithm: str, signature: bytes) -> None:
    """Empty, zero, short and long signatures are refused and raise nothing else."""
    key = (
        from_secret(SECRET.encode(), SUPPORTED) if algorithm == "HS256" else from_pem(public_pem(algorithm), SUPPORTED)
    )
    with pytest.raises(Refused, match="signature"):
        key.verify(algorithm, b"a.b", signature)


def test_the_oracle_agrees_on_the_key() -> None:
    """PyJWT verifies with the same JWK, so that the tests above test the right key."""
    key = jwt.PyJWK.from_dict(public_jwk("ES256", alg="ES256"))
    assert jwt.decode(signed(claims(exp=4_000_000_000, iat=1), "ES256"), key, ["ES256"], audience="chat")
