"""The strict envelope of a compact JWS (RFC 7515 §3.1, §7.1), opened before any key or library sees it.

Nothing that is returned here is verified. Algorithm and key id choose among configured keys, `iss` is
compared with the configured issuer; the rest has no meaning until the signature is good.
"""

import re
from binascii import a2b_base64
from functools import lru_cache
from typing import Any, Final, NamedTuple

from wsauth.core.tokens.strict_json import load_object
from wsauth.errors import Refused

__all__ = ["MAX_TOKEN", "Envelope", "folded_type", "open_envelope", "shown"]

MAX_TOKEN: Final = 16 * 1024
"""The longest token that is looked at, in bytes."""

_MAX_HEADER: Final = 4096
_MAX_SHOWN: Final = 80

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})", re.ASCII)
_KEY_ID: Final = re.compile(r"[!-~]{1,256}", re.ASCII)
_TYPE: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_FORBIDDEN: Final = ("crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "cty")
"""They change what is signed, bring a key along, or wrap another token; no access token needs them."""
_THUMBPRINTS: Final = ("x5t", "x5t#S256")

# RFC 4648 §3.5: where the last group is short, only these last characters leave the unused bits zero.
_LAST_OF: Final = (None, "", "AQgw", "AEIMQUYcgkosw048")


class Envelope(NamedTuple):
    """Hold what a compact JWS says, unverified.

    Attributes:
        algorithm: the header's `alg`.
        key_id: the header's `kid`, or `None`.
        type: the header's `typ` as `folded_type` makes it; `jwt` if it is missing.
        claims: the payload.
        signed: the bytes that the signature is over.
        signature: the signature.
    """

    algorithm: str
    key_id: str | None
    type: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def open_envelope(token: str) -> Envelope | None:
    """Return what `token` says, or `None` when it is no JWS at all and may be somebody else's to judge.

    Raises:
        Refused: it is a JWS, and one that nobody honest makes.
    """
    if len(token) > MAX_TOKEN:
        return None
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        return None
    first, second, third = segments.groups()
    # So begins a JSON object in base64url ("{" and then '"' or white space); other dotted tokens do not.
    if not first.startswith(("ey", "ew")):
        return None
    if len(first) > _MAX_HEADER:
        raise Refused("token_invalid", "the token's header is too long")
    header = _read_header(first)
    if header is None:
        return None
    algorithm, key_id, kind = header
    claims = _object(second, "payload")
    return Envelope(
        algorithm,
        key_id,
        kind,
        claims,
        token[: segments.end(2)].encode("ascii"),
        _decoded(third, "signature"),
    )


def folded_type(value: str) -> str:
    """Return a media type as it is compared: lower case, without `application/` (RFC 7515 §4.1.9)."""
    folded = value.lower()
    short = folded.removeprefix("application/")
    return folded if "/" in short else short


def shown(value: object) -> str:
    """Return an unverified value as it may stand in a log: ASCII, on one line, cut short."""
    text = ascii(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


@lru_cache(maxsize=256)
def _read_header(segment: str) -> tuple[str, str | None, str] | None:
    """Return alg, kid and typ; `None` without alg. An issuer's tokens share their headers, so it is read once."""
    header = _object(segment, "header")
    if "alg" not in header:
        return None
    for name in _FORBIDDEN:
        if name in header:
            raise Refused("token_invalid", f"the token's header has {name!r}, which is never accepted")
    algorithm, key_id, kind = header["alg"], header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str):
        raise Refused("token_invalid", "the token's alg is not text")
    if "kid" in header and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        raise Refused("token_invalid", "the token's kid is not 1 to 256 visible ASCII characters")
    if not all(isinstance(header.get(name, ""), str) for name in _THUMBPRINTS):
        raise Refused("token_invalid", "the token's x5t is not text")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise Refused("token_invalid", "the token's typ is not a media type")
    return algorithm, key_id, folded_type(kind)


def _object(segment: str, part: str) -> dict[str, Any]:
    try:
        return load_object(_decoded(segment, part))
    except ValueError as error:
        raise Refused("token_invalid", f"the token's {part} cannot be read: {error}") from None


def _decoded(segment: str, part: str) -> bytes:
    short = len(segment) % 4
    last = _LAST_OF[short]
    if last is not None and segment[-1] not in last:
        raise Refused("token_invalid", f"the token's {part} is not canonical base64url")
    return a2b_base64(segment.encode("ascii").translate(_TO_STANDARD) + b"=" * (-short % 4))
