"""What a good token must claim."""

from dataclasses import replace
from typing import Any

import pytest

from tests.issuing import AUDIENCE, ISSUER, NOW, claims
from wsauth.core.identity import Identity
from wsauth.core.tokens.claims import Expectations, identify
from wsauth.core.tokens.envelope import Envelope
from wsauth.errors import Refused

EXPECTED = Expectations(
    issuer=ISSUER,
    name="jwt",
    audience=frozenset({AUDIENCE, "chat-admin"}),
    token_types=frozenset({"at+jwt", "jwt"}),
    required_claims={},
    leeway=30.0,
    max_ttl=86400.0,
    subject_claim="sub",
    roles_claim="roles",
    permissions_claim="scope",
    roles={"*": ("*",)},
)


def identity(payload: dict[str, Any], now: float = NOW, kind: str = "jwt", **changes: Any) -> Identity:
    """Return whom these claims speak of."""
    return identify(Envelope("HS256", None, kind, payload, b"", b""), replace(EXPECTED, **changes), now)


def refusal(payload: dict[str, Any], now: float = NOW, kind: str = "jwt", **changes: Any) -> Refused:
    """Return why these claims are refused."""
    with pytest.raises(Refused) as refused:
        identity(payload, now, kind, **changes)
    return refused.value


def test_an_identity_is_what_the_claims_say() -> None:
    """Every part of the identity comes from its claim, and the claims come along."""
    payload = claims(roles=["member"], scope="a b", sid="s1", auth_time=NOW - 5, email="alice@example.com")
    alice = identity(payload)
    assert alice == Identity(
        "alice",
        issuer=ISSUER,
        roles=("member",),
        permissions=("a", "b"),
        expires_at=NOW + 3630.0,
        session_id="s1",
        token_id="t1",
        auth_time=float(NOW - 5),
        claims=payload,
    )


def test_without_an_issuer_the_name_stands_for_it() -> None:
    """An issuer that is not checked names nobody, whatever the token says."""
    assert identity(claims(), issuer=None, name="legacy").key == ("legacy", "alice")
    assert identity(claims(iss=None), issuer=None, name="legacy").key == ("legacy", "alice")
    assert "iss" in refusal(claims(iss=["x"]), issuer=None).reason


@pytest.mark.parametrize("issuer", [None, "", ISSUER + "/", ISSUER.upper(), [ISSUER], {"a": 1}, 7])
def test_the_issuer_is_exact(issuer: object) -> None:
    """Another text, another type or none is another issuer."""
    assert refusal(claims(iss=issuer)).code == "token_invalid"


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE], "chat-admin"])
def test_one_of_our_audiences_is_enough(audience: object) -> None:
    """A text or a list of texts that has one of ours is for us."""
    assert identity(claims(aud=audience)).subject == "alice"


@pytest.mark.parametrize(
    "audience",
    [None, "", "other", "cha", "chat ", "chat chat-admin", [], ["other"], [1, AUDIENCE], {AUDIENCE: 1}, 1],
)
def test_another_audience_is_refused(audience: object) -> None:
    """A missing, other or oddly typed audience is refused, and so is a list with one odd member."""
    assert refusal(claims(aud=audience)).code == "token_invalid"


def test_an_audience_that_is_not_checked_may_be_anything() -> None:
    """Where the configuration says so, `aud` is not looked at."""
    assert identity(claims(aud=None), audience=frozenset()).subject == "alice"
    assert identity(claims(aud=7), audience=frozenset()).subject == "alice"


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "wsauth-assertion+jwt", "text/jwt", "id"])
def test_other_types_of_token_are_refused(kind: str) -> None:
    """Only the configured types are access tokens."""
    assert "typ" in refusal(claims(), kind=kind).reason


@pytest.mark.parametrize("name", ["events", "cnf"])
def test_a_token_with_another_purpose_is_refused(name: str) -> None:
    """An event and a key-bound token are no bearer's token, unless the configuration asks for that claim."""
    payload = claims() | {name: {"x": "y"}}
    assert name in refusal(payload).reason
    assert identity(payload, required_claims={name: {"x": "y"}}).subject == "alice"


@pytest.mark.parametrize("subject", [None, "", 7, ["alice"], {"a": 1}, True])
def test_a_subject_is_a_text(subject: object) -> None:
    """A missing, empty or oddly typed subject is refused."""
    assert refusal(claims(sub=subject)).code == "token_invalid"


def test_the_subject_may_be_another_claim() -> None:
    """`subject_claim` is a name or a path."""
    assert identity(claims(oid="a1"), subject_claim="oid").subject == "a1"
    assert identity(claims(user={"id": "a1"}), subject_claim="user.id").subject == "a1"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "auth_time"])
@pytest.mark.parametrize(
    "value", [str(NOW), True, False, -1, -0.5, float("nan"), float("inf"), 10**20, NOW * 1000, [NOW], {}]
)
def test_times_have_exact_types_and_sane_values(name: str, value: object) -> None:
    """A text, a truth, a number that is no time and a time in milliseconds are refused."""
    assert refusal(claims() | {name: value}).code == "token_invalid"


def test_exp_is_required() -> None:
    """A token that never ends is refused, and null is no time."""
    assert "exp" in refusal(claims(exp=None)).reason
    assert refusal(claims() | {"exp": None}).code == "token_invalid"


def test_fractions_of_a_second_count() -> None:
    """A NumericDate may have a fraction."""
    assert identity(claims(exp=NOW + 0.5)).expires_at == NOW + 30.5


@pytest.mark.parametrize(("since", "code"), [(29.999, ""), (30, "token_expired"), (31, "token_expired")])
def test_a_token_is_valid_until_exp_and_leeway(since: float, code: str) -> None:
    """It is good while now < exp + leeway."""
    payload = claims(exp=NOW, iat=NOW - 60)
    if code:
        assert refusal(payload, NOW + since).code == code
    else:
        assert identity(payload, NOW + since).expires_at == NOW + 30


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused(name: str) -> None:
    """`nbf` and `iat` may be ahead by the leeway and not by more."""
    assert identity(claims() | {name: NOW + 30}).subject == "alice"
    assert refusal(claims() | {name: NOW + 30.001}).code == "token_invalid"


def test_a_token_that_lives_too_long_is_refused() -> None:
    """`exp - iat` counts or, without `iat`, what is left; 0 is no limit; and the log names the key."""
    assert identity(claims(exp=NOW + 86400)).subject == "alice"
    assert "max_ttl" in refusal(claims(exp=NOW + 86401)).mend
    assert "max_ttl" in refusal(claims(iat=NOW - 86400, exp=NOW + 1)).mend
    assert identity(claims(iat=None, exp=NOW + 86400)).subject == "alice"
    assert "max_ttl" in refusal(claims(iat=None, exp=NOW + 86401)).mend
    assert identity(claims(exp=NOW + 10**8), max_ttl=0.0).subject == "alice"


@pytest.mark.parametrize("wrong", [{"aud": "x"}, {"iss": "x"}, {"sub": ""}, {"nbf": "x"}])
def test_expired_is_said_only_of_a_token_that_was_good(wrong: dict[str, Any]) -> None:
    """Whatever else is wrong comes first, so that an outsider learns nothing from the difference."""
    expired = claims(exp=NOW - 100, iat=NOW - 200)
    assert refusal(expired).code == "token_expired"
    assert refusal(expired | wrong).code == "token_invalid"


@pytest.mark.parametrize(
    ("required", "held", "good"),
    [
        ({"token_use": "access"}, {"token_use": "access"}, True),
        ({"token_use": "access"}, {"token_use": "id"}, False),
        ({"token_use": "access"}, {}, False),
        ({"client_id": ["a", "b"]}, {"client_id": "b"}, True),
        ({"client_id": ["a", "b"]}, {"client_id": "c"}, False),
        ({"client_id": ["a", "b"]}, {"client_id": ["a"]}, False),
        ({"email_verified": True}, {"email_verified": True}, True),
        ({"email_verified": True}, {"email_verified": 1}, False),
        ({"email_verified": True}, {"email_verified": "true"}, False),
        ({"level": 1}, {"level": True}, False),
        ({"realm.tier": "gold"}, {"realm": {"tier": "gold"}}, True),
    ],
)
def test_required_claims_are_equal(required: dict[str, Any], held: dict[str, Any], good: bool) -> None:
    """Value and type are the same, or the same as one of a list."""
    if good:
        assert identity(claims(**held), required_claims=required).subject == "alice"
    else:
        assert "required_claims" in refusal(claims(**held), required_claims=required).reason


@pytest.mark.parametrize("token_id", [None, 7, ["x"], True, {}])
def test_a_token_id_is_a_text(token_id: object) -> None:
    """A `jti` by which the token could not be revoked is refused; an empty one is none."""
    assert "jti" in refusal(claims() | {"jti": token_id}).reason
    assert identity(claims(jti="")).token_id is None


def test_a_session_id_of_an_odd_type_is_left_out() -> None:
    """A `sid` that is no text is somebody's own claim."""
    assert identity(claims(sid=7)).session_id is None


def test_reasons_hold_no_claims() -> None:
    """What the log gets says which rule, not what the token said of its owner."""
    for payload in (
        claims(sub=""),
        claims(aud="s3cret"),
        claims(exp="s3cret"),
        claims(x="s3cret", events={}),
    ):
        assert "s3cret" not in refusal(payload).reason
