"""The strict envelope of a compact JWS."""

import pytest

from tests.issuing import as_json, base64url, claims, forged, signed
from wsauth.core.tokens.envelope import MAX_TOKEN, folded_type, open_envelope, shown
from wsauth.errors import Refused

HEADER = {"alg": "HS256", "typ": "JWT", "kid": "k1"}


def test_an_envelope_holds_what_the_token_says() -> None:
    """Algorithm, key id, folded type, claims, signed bytes and signature are taken as they stand."""
    token = signed(claims(), kid="k1", typ="application/AT+jwt")
    envelope = open_envelope(token)
    assert envelope is not None
    assert envelope[:4] == ("HS256", "k1", "at+jwt", claims())
    assert envelope.signed.decode() == token.rpartition(".")[0]
    assert base64url(envelope.signature) == token.rpartition(".")[2]


def test_a_missing_typ_is_jwt_and_a_missing_kid_is_none() -> None:
    """A header with nothing but `alg` is enough."""
    envelope = open_envelope(forged(b'{"alg":"HS256"}', as_json(claims())))
    assert envelope is not None
    assert (envelope.type, envelope.key_id) == ("jwt", None)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "wsk_0123456789",
        "..",
        "eyJhbGciOiJIUzI1NiJ9.e30.",
        "eyJhbGciOiJIUzI1NiJ9..AAAA",
        "eyJhbGciOiJkaXIifQ.AA.AA.AA.AA",
        '{"payload":"e30","signatures":[]}',
        "InR4dCI.WjY5.c2lnbmVkIGJ5IGl0c2Rhbmdlcm91cw",
        "eyJ1c2VyIjoiYWxpY2UifQ.ZvY5.c2lnbmF0dXJl",
        "e30.ZvY5.c2lnbmF0dXJl",
        "exampleOfOpaque.ZvY5.c2lnbmF0dXJl",
    ],
)
def test_what_is_no_jws_is_somebody_elses(token: str) -> None:
    """Opaque tokens, other dotted tokens and other serializations are left to other verifiers."""
    assert open_envelope(token) is None


def test_the_length_limit_is_exact() -> None:
    """A token of the limit is read, and one of a byte more is not looked at."""
    token = signed(claims(note="x" * 4096))
    padding = MAX_TOKEN - len(token)
    longer = signed(claims(note="x" * (4096 + padding * 3 // 4 - 3)))
    assert MAX_TOKEN - 8 < len(longer) <= MAX_TOKEN
    assert open_envelope(longer) is not None
    assert open_envelope(longer + "A" * (MAX_TOKEN + 1 - len(longer))) is None


@pytest.mark.parametrize("header", [b'{"alg":"HS256"}', b'{ "alg" : "HS256" }', b'{\r\n "alg":"HS256"}'])
def test_white_space_in_the_header_makes_no_difference(header: bytes) -> None:
    """The header is JSON, and JSON may be written with blanks (RFC 7515 appendix A.1 is)."""
    envelope = open_envelope(forged(header, as_json(claims())))
    assert envelope is not None
    assert envelope.algorithm == "HS256"


@pytest.mark.parametrize("name", ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "cty"])
def test_a_header_that_changes_the_rules_is_refused(name: str) -> None:
    """Members that bring keys, wrap tokens or change what is signed are refused whatever their value."""
    values: tuple[object, ...] = ("x", None, [], False, {})
    for value in values:
        with pytest.raises(Refused, match=name):
            open_envelope(forged(as_json(HEADER | {name: value}), as_json(claims())))


@pytest.mark.parametrize(
    "changes",
    [
        {"alg": None},
        {"alg": ["HS256"]},
        {"kid": ""},
        {"kid": 7},
        {"kid": None},
        {"kid": "a b"},
        {"kid": "a\x00"},
        {"kid": "k" * 257},
        {"kid": "é"},
        {"typ": None},
        {"typ": 1},
        {"typ": ""},
        {"typ": "J W T"},
        {"x5t": None},
        {"x5t#S256": 7},
    ],
)
def test_header_members_have_exact_types(changes: dict[str, object]) -> None:
    """`alg`, `kid`, `typ` and thumbprints are texts of a plain shape."""
    with pytest.raises(Refused) as refused:
        open_envelope(forged(as_json(HEADER | changes), as_json(claims())))
    assert refused.value.code == "token_invalid"


def test_a_long_header_is_refused() -> None:
    """A header of more than 4 KiB is refused before it is decoded."""
    with pytest.raises(Refused, match="too long"):
        open_envelope(forged(as_json(HEADER | {"x": "y" * 4096}), as_json(claims())))


def test_unknown_header_members_are_ignored() -> None:
    """What RFC 7515 §4 says must be ignored is ignored: Entra sends `x5t`."""
    assert open_envelope(forged(as_json(HEADER | {"x5t": "AAAA", "nonce": "n"}), as_json(claims())))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("JWT", "jwt"),
        ("at+jwt", "at+jwt"),
        ("application/at+JWT", "at+jwt"),
        ("APPLICATION/JWT", "jwt"),
        ("text/jwt", "text/jwt"),
        ("application/a/b", "application/a/b"),
    ],
)
def test_types_are_folded_as_the_rfc_says(value: str, expected: str) -> None:
    """Case and the prefix `application/` make no difference (RFC 7515 §4.1.9)."""
    assert folded_type(value) == expected


def test_what_is_shown_is_short_ascii_on_one_line() -> None:
    """A hostile `iss` can neither forge a log line nor fill the log."""
    assert shown("a\nb\x1b[0mé") == r"'a\nb\x1b[0m\xe9'"
    assert len(shown("x" * 10_000)) == 81
