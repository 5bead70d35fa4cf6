"""Keys that verify, each typed and bound to what it may do (RFC 8725 §3.1).

A key is checked once, when it is loaded. A token's `alg` never decides how a key is used: it only has to name
something that the key was already bound to.
"""

import contextlib
import warnings
from base64 import b64decode
from collections.abc import Collection, Mapping
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from wsauth.errors import Refused

__all__ = [
    "ASYMMETRIC",
    "SUPPORTED",
    "KeyRefused",
    "KeyUnfit",
    "VerifyingKey",
    "from_jwk",
    "from_pem",
    "from_secret",
    "is_guessable",
]

SUPPORTED: Final = ("HS256", "RS256", "PS256", "ES256", "EdDSA")
ASYMMETRIC: Final = ("RS256", "PS256", "ES256", "EdDSA")

_CAN: Final[dict[tuple[str, str | None], tuple[str, ...]]] = {
    ("oct", None): ("HS256",),
    ("RSA", None): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
Key = OctKey | RSAKey | ECKey | OKPKey
_Type = type[OctKey] | type[RSAKey] | type[ECKey] | type[OKPKey]
_TYPES: Final[dict[str, _Type]] = {"oct": OctKey, "RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_UNREADABLE: Final = (JoseError, ValueError, KeyError, TypeError, AttributeError, UnsupportedAlgorithm)

_MIN_SECRET: Final = 32  # bytes; RFC 7518 §3.2: at least the size of the hash
_MIN_VARIETY: Final = 8  # different bytes; a random secret of 32 bytes has fewer once in more than 2**128 draws
_WELL_KNOWN: Final = frozenset(
    {
        b"a-string-secret-at-least-256-bits-long",
        b"your-256-bit-secret-your-256-bit-secret",
        b"your-super-secret-jwt-token-with-at-least-32-characters-long",
        b"super-secret-jwt-token-with-at-least-32-characters-long",
        b"12345678901234567890123456789012",
        b"abcdefghijklmnopqrstuvwxyz123456",
        b"0123456789abcdef0123456789abcdef",
        b"this-is-a-very-long-secret-key-that-nobody-knows",
        b"01234567890123456789012345678901",
    }
)
_MEND: Final = "draw one with `openssl rand -hex 32`"
_RSA_BITS: Final = range(2048, 8193)


class KeyUnfit(ValueError):
    """Say that a key is not for verifying here: another use or algorithm. Many sets hold such keys."""


class KeyRefused(ValueError):
    """Say that a key is broken, too weak, or not what it was given as."""


class VerifyingKey:
    """Verify signatures with one key, by the algorithms it is bound to and no other.

    Attributes:
        key_id: the `kid` it is known by, or `None`.
        algorithms: what it may verify.
        print: what tells it from other keys (RFC 7638 with id and algorithms); of a secret, its hash.
    """

    __slots__ = ("_key", "algorithms", "key_id", "print")

    def __init__(self, key: Key, key_id: str | None, algorithms: tuple[str, ...]) -> None:
        self._key = key
        self.key_id = key_id
        self.algorithms = algorithms
        self.print = (key_id, algorithms, key.thumbprint())

    def __repr__(self) -> str:
        return f"VerifyingKey(key_id={self.key_id!r}, algorithms={self.algorithms!r})"

    def verify(self, algorithm: str, signed: bytes, signature: bytes) -> None:
        """Return when `signature` is this key's over `signed`.

        Raises:
            Refused: it is not, or the key is not bound to `algorithm`.
        """
        if algorithm not in self.algorithms:
            raise Refused("token_invalid", "the token's alg is not one that its key may be used with")
        if not JWSRegistry.algorithms[algorithm].verify(signed, signature, self._key):
            raise Refused("token_invalid", "the token's signature is wrong")


def from_jwk(jwk: object, allowed: Collection[str], *, remote: bool) -> VerifyingKey:
    """Return the key in a JWK (RFC 7517 §4).

    Args:
        jwk: the parsed JSON.
        allowed: the algorithms that the configuration allows.
        remote: it was fetched; then a symmetric or private key in it is a secret no more and is refused.

    Raises:
        KeyUnfit: it is for something else and can be passed over.
        KeyRefused: it is broken or weak.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRefused("it is not a JSON object")
    kind, curve, key_id = jwk.get("kty"), jwk.get("crv"), jwk.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise KeyRefused("its kid is not text")
    _check_use(jwk)
    algorithms = _bound(kind, curve, jwk.get("alg"), allowed)
    if kind == "oct" and remote:
        raise KeyRefused("it is a symmetric key that was fetched: everybody knows it")
    if kind != "oct" and "d" in jwk:
        raise KeyRefused("it is a private key: publish and configure its public half only")
    known = {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y", "k") if name in jwk}
    key = _imported(_TYPES[str(kind)], known)
    _check_strength(key)
    return VerifyingKey(key, key_id, algorithms)


def from_pem(pem: bytes, allowed: Collection[str]) -> VerifyingKey:
    """Return the public key (or certificate's key) in a PEM text.

    Raises:
        KeyUnfit: its type can none of the allowed algorithms.
        KeyRefused: it is broken, weak or private.
    """
    if b"PRIVATE KEY" in pem:
        raise KeyRefused("it is a private key: give its public half (openssl pkey -pubout)")
    types: tuple[_Type, ...] = (RSAKey, ECKey, OKPKey)
    for type_ in types:
        try:
            key = _imported(type_, pem)
        except KeyRefused:
            continue
        curve = None if isinstance(key, RSAKey) else _curve(key)
        algorithms = _bound(key.key_type, curve, None, allowed)
        _check_strength(key)
        return VerifyingKey(key, None, algorithms)
    raise KeyRefused("it is not a public key in PEM (-----BEGIN PUBLIC KEY-----)")


def from_secret(secret: bytes, allowed: Collection[str]) -> VerifyingKey:
    """Return the key for HS256.

    Raises:
        KeyUnfit: HS256 is not allowed.
        KeyRefused: it is short, well known, or a key of another kind.
    """
    algorithms = _bound("oct", None, None, allowed)
    _check_secret(secret)
    return VerifyingKey(_imported(OctKey, secret), None, algorithms)


def _bound(kind: object, curve: object, algorithm: object, allowed: Collection[str]) -> tuple[str, ...]:
    can = _CAN.get((str(kind), str(curve) if kind in ("EC", "OKP") else None))
    if can is None:
        raise KeyUnfit("its type or curve is not one of oct, RSA, EC P-256, OKP Ed25519")
    if algorithm is not None:
        can = tuple(name for name in can if name == algorithm)
    bound = tuple(name for name in can if name in allowed)
    if not bound:
        raise KeyUnfit("it is for an algorithm that is not allowed here")
    return bound


def _check_use(jwk: Mapping[str, Any]) -> None:
    use, operations = jwk.get("use", "sig"), jwk.get("key_ops", ["verify"])
    if use != "sig":
        raise KeyUnfit("its use is not sig")
    if not isinstance(operations, list) or "verify" not in operations:
        raise KeyUnfit("its key_ops do not have verify")


def _imported(type_: _Type, value: bytes | dict[str, Any]) -> Key:
    try:
        with warnings.catch_warnings():
            # joserfc warns of weak keys; `_check_strength` and `_check_secret` refuse them.
            warnings.simplefilter("ignore")
            return type_.import_key(value)
    except _UNREADABLE:
        raise KeyRefused(f"it cannot be read as a key of type {type_.key_type}") from None


def _check_strength(key: Key) -> None:
    if isinstance(key, OctKey):
        _check_secret(key.raw_value)
    if isinstance(key, RSAKey):
        numbers = key.public_key.public_numbers()
        if key.public_key.key_size not in _RSA_BITS:
            raise KeyRefused(f"an RSA key has 2048 to 8192 bits, and this one has {key.public_key.key_size}")
        if numbers.e < 65537 or numbers.e % 2 == 0 or numbers.e.bit_length() > 256:
            raise KeyRefused("its RSA exponent is not odd and between 65537 and 2**256 (FIPS 186-5 §5.4)")


def is_guessable(secret: bytes) -> bool:
    """Tell whether a secret is monotonous or a published one, so that its tokens can be forged by trying."""
    return len(set(secret)) < _MIN_VARIETY or secret.lower() in _WELL_KNOWN


def _check_secret(secret: bytes) -> None:
    if len(secret) < _MIN_SECRET:
        raise KeyRefused(f"a secret has at least {_MIN_SECRET} bytes, and this one has {len(secret)}: {_MEND}")
    if _is_a_key(secret):
        raise KeyRefused("the secret is a public or private key: give it as public_key, or draw a secret")


def _is_a_key(secret: bytes) -> bool:
    """Tell whether an HMAC secret is really a PEM, DER, SSH or JWK key (CVE-2022-29217)."""
    text = secret.strip()
    if b"-----BEGIN" in text or b'"kty"' in text or text.startswith((b"ssh-", b"ecdsa-sha2-")):
        return True
    candidates = [secret]
    with contextlib.suppress(ValueError):
        candidates.append(b64decode(b"".join(text.split()), validate=True))
    return any(each[:1] == b"\x30" and not _is_raw(each) for each in candidates)


def _is_raw(secret: bytes) -> bool:
    try:
        _imported(OctKey, secret)
    except KeyRefused:
        return False
    return True


def _curve(key: Key) -> str:
    try:
        return key.curve_name if isinstance(key, ECKey | OKPKey) else ""
    except KeyError:
        return ""
