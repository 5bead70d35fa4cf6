"""What must hold between the way to a provider and the way back."""

from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsauth.core.origins import Origins
from wsauth.core.sign_in import challenge_of, check_answer, check_id_token, is_challenge, is_good_return, with_query
from wsauth.errors import Refused

OURS = "https://we.example"
ALLOWED = Origins(["https://app.example", "http://127.0.0.1:3000"])
PARTS = st.sampled_from(
    ["/", "//", "\\", ":", "@", "https:", "http:", "javascript:", "app.example", "evil.example", ".", "..", "?", "#",
     "a", "%2f", "\t", "\n", " ", "127.0.0.1:3000", "https://app.example", "[", "]", ":80"]
)  # fmt: skip


def host_of(url: str) -> str:
    """Return the origin that a browser goes to from a page of ours (the URL Standard: it drops tabs and newlines, and
    takes a backslash for a slash)."""
    read = "".join(letter for letter in url if letter not in "\t\r\n").strip().replace("\\", "/")
    parts = urlsplit(urljoin(f"{OURS}/auth/oauth/idp/callback", read))
    return f"{parts.scheme}://{parts.netloc}"


@given(st.lists(PARTS, max_size=8).map("".join) | st.text(max_size=30))
@example("/a//b")
@example("https://app.example/a")
def test_whatever_is_taken_leads_to_us_or_an_allowed_page(url: str) -> None:
    """No text that passes leads anywhere else, however a browser reads it."""
    if is_good_return(url, ALLOWED):
        assert host_of(url) in {OURS, "https://app.example", "http://127.0.0.1:3000"}


def test_every_page_may_connect_is_no_leave_to_send_people_there() -> None:
    """With origins = ["*"] only paths of ours are left."""
    every = Origins(["*"])
    assert is_good_return("/a", every)
    assert not is_good_return("https://app.example/", every)


def test_the_challenge_is_the_one_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert is_challenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    assert not is_challenge("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c")


@given(st.sampled_from(["https://a.example", "https://a.example/x?tenant=1", "/x#part"]), st.text(max_size=20))
def test_a_query_is_added_to(url: str, value: str) -> None:
    """What was there stays, in front of the fragment, and the value comes out as it went in."""
    parts = urlsplit(with_query(url, code=value))
    assert parse_qsl(parts.query, keep_blank_values=True)[-1] == ("code", value)
    assert (parts.path, parts.fragment) == (urlsplit(url).path, urlsplit(url).fragment)


@pytest.mark.parametrize(
    ("query", "must_name", "found"),
    [
        ({"code": "c"}, False, "c"),
        ({"code": "c", "iss": "https://idp"}, True, "c"),
        ({"code": "c"}, True, None),
        ({"code": "c", "iss": "https://evil"}, False, None),
        ({"code": "c", "iss": ""}, False, None),
        ({"code": ""}, False, None),
        ({}, False, None),
        ({"code": "c", "error": "access_denied"}, False, None),
    ],
)
def test_an_answer_is_the_one_we_asked_for(query: dict[str, str], must_name: bool, found: str | None) -> None:
    """RFC 9207: a name that comes must be right, and must come where it was promised; an error is no code."""
    if found is not None:
        assert check_answer(query, "https://idp", must_name=must_name) == found
    else:
        with pytest.raises(Refused):
            check_answer(query, "https://idp", must_name=must_name)


@pytest.mark.parametrize(
    ("algorithm", "half"),
    [("RS256", "77QmUPtjPfzWtF2AnpK9RQ"), ("EdDSA", "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM")],
)
def test_at_hash_is_the_left_half_of_the_right_hash(algorithm: str, half: str) -> None:
    """OpenID Connect Core appendix A.3 for SHA-256; Ed25519 goes with SHA-512."""
    token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    claims = {"aud": "web", "iat": 1, "at_hash": half}

    def check(said: dict[str, object]) -> None:
        check_id_token(said, client_id="web", nonce=None, access_token=token, algorithm=algorithm)

    check(claims)
    with pytest.raises(Refused, match="at_hash"):
        check(claims | {"at_hash": half[:-1] + "_"})
