"""The refusal table against CONTRACT section 7, written out."""

import pytest

from wsauth.core.refusals import TABLE, Refusal, round_up
from wsauth.errors import Refused

ID = "q7yp4s3kdx9a"

# code: HTTP status, close code (None: the socket stays open, or the code is never spoken over one), action
EXPECTED = {
    "credentials_missing": (401, 3000, "login"),
    "credentials_invalid": (401, 3000, "login"),
    "credentials_ambiguous": (400, 3000, "stop"),
    "credentials_in_query": (400, 3000, "stop"),
    "token_invalid": (401, 3000, "login"),
    "token_expired": (401, 3000, "refresh"),
    "token_revoked": (401, 3000, "login"),
    "session_revoked": (401, 3000, "login"),
    "ticket_invalid": (401, 3000, "retry"),
    "auth_timeout": (None, 3008, "retry"),
    "too_many_attempts": (None, 3000, "login"),
    "identity_mismatch": (403, None, "stop"),
    "step_up_required": (403, None, "login"),
    "permission_denied": (403, 3003, "stop"),
    "rights_changed": (None, 1012, "retry"),
    "disconnected": (None, 3003, "stop"),
    "idle_timeout": (None, 3008, "retry"),
    "too_slow": (None, 1013, "retry"),
    "origin_denied": (403, None, "stop"),
    "csrf_failed": (403, None, "stop"),
    "password_change_required": (403, None, "stop"),
    "address_blocked": (403, 1013, "retry"),
    "rate_limited": (429, 1013, "retry"),
    "too_many_connections": (429, 1013, "retry"),
    "account_locked": (429, 1013, "retry"),
    "message_invalid": (None, 1008, "stop"),
    "message_too_large": (None, 1009, "retry"),
    "message_unsupported": (None, 1003, "stop"),
    "password_rejected": (422, 1002, "stop"),
    "conflict": (409, 1002, "stop"),
    "not_found": (404, 1002, "stop"),
    "request_invalid": (400, 1002, "stop"),
    "upstream_unavailable": (502, 1013, "retry"),
    "unavailable": (503, 1013, "retry"),
    "draining": (503, 1012, "retry"),
}


def test_the_table_is_the_contracts() -> None:
    """Status, close code and action of every code, and no code more."""
    assert {code: (rule.status, rule.close, rule.action) for code, rule in TABLE.items()} == EXPECTED


def test_every_code_has_a_text_for_people() -> None:
    """The texts are one sentence without a stop, and no two codes share one."""
    texts = [rule.text for rule in TABLE.values()]
    assert len(set(texts)) == len(texts)
    assert all(text[0].isupper() and not text.endswith(".") for text in texts)


@pytest.mark.parametrize("code", TABLE)
def test_a_close_reason_fits_into_its_frame(code: str) -> None:
    """RFC 6455 section 5.5 leaves 123 bytes, also for the longest wait."""
    reason = Refusal(code, ID, retry_after=86_400.5).close_reason
    assert len(reason.encode()) <= 123
    expected = f"{code};retry_after=86401" if code == "draining" else f"{code};id={ID};retry_after=86401"
    assert reason == expected


def test_some_refusals_take_rights_away_at_once() -> None:
    """Of a client whose rights are gone an unfinished message is never completed; every other end lets it finish."""
    found = {code for code in TABLE if Refusal(code, ID).takes_away}
    assert found == {"token_revoked", "session_revoked", "permission_denied", "rights_changed"}


def test_a_close_reason_is_never_longer_than_its_frame() -> None:
    """Even nonsense is cut."""
    assert len(Refusal("token_expired", "x" * 200, retry_after=1.0).close_reason.encode()) == 123


def test_a_disconnection_with_a_time_may_come_back() -> None:
    """`disconnected` is 3003 and `stop`; with `retry_after` it is 1013 and `retry`."""
    final, later = Refusal("disconnected", ID), Refusal("disconnected", ID, retry_after=60)
    assert (final.close_code, final.action) == (3003, "stop")
    assert (later.close_code, later.action) == (1013, "retry")


@pytest.mark.parametrize("code", ["identity_mismatch", "step_up_required", "origin_denied"])
def test_a_code_that_keeps_the_socket_open_closes_as_unauthorized_where_it_must(code: str) -> None:
    """On a socket that is closed all the same, the code is 3000."""
    assert Refusal(code, ID).close_code == 3000


def test_a_refusal_may_have_its_own_status_and_close_code() -> None:
    """Within `request_invalid` the status says which, and the application's no keeps its code."""
    refusal = Refusal("request_invalid", ID, status=426, close=1011)
    assert (refusal.http_status, refusal.close_code) == (426, 1011)


def test_an_unknown_code_of_a_verifier_is_wrong_credentials() -> None:
    """The peer sees a code of the table; the log sees what the verifier said."""
    refusal = Refusal.of(Refused("no_such_code", "because"), ID)
    assert refusal.code == "credentials_invalid"
    assert "no_such_code" in refusal.reason
    assert "because" in refusal.reason


def test_a_refusal_keeps_what_was_raised() -> None:
    """Code, reason, mend and time to wait come along, with the id that was drawn."""
    assert Refusal.of(Refused("rate_limited", "why", mend="how", retry_after=2), ID) == Refusal(
        "rate_limited", ID, 2, "why", "how"
    )


def test_the_problem_says_what_outsiders_may_know() -> None:
    """RFC 9457 with the contract's members; reason and mend are the log's."""
    refusal = Refusal("account_locked", ID, retry_after=899.2, reason="ten wrong passwords", mend="lockout_after")
    assert refusal.problem() == {
        "status": 429,
        "title": "Too Many Requests",
        "detail": "Too many failed logins; try again later",
        "code": "account_locked",
        "action": "retry",
        "retry_after": 900,
        "id": ID,
    }
    assert "retry_after" not in Refusal("token_expired", ID).problem()


@pytest.mark.parametrize(
    ("refusal", "headers"),
    [
        (Refusal("token_expired", ID), [(b"www-authenticate", b"Bearer")]),
        (Refusal("permission_denied", ID), []),
        (Refusal("request_invalid", ID, status=426), [(b"sec-websocket-version", b"13")]),
        (Refusal("rate_limited", ID, retry_after=0.1), [(b"retry-after", b"1")]),
        (Refusal("auth_timeout", ID), []),
    ],
)
def test_an_http_refusal_has_the_headers_of_its_status(refusal: Refusal, headers: list[tuple[bytes, bytes]]) -> None:
    """401 names the scheme, 426 the version, a wait its seconds; nothing is stored, and it is never Basic."""
    common = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    assert refusal.headers() == common + headers


def test_a_code_that_never_answers_a_handshake_is_a_503() -> None:
    """It cannot happen, and if it does it blames nobody."""
    assert Refusal("too_many_attempts", ID).http_status == 503


@pytest.mark.parametrize(("asked", "whole"), [(0, 0), (0.001, 1), (1, 1), (59.5, 60), (-3, 0)])
def test_waits_are_rounded_up(asked: float, whole: int) -> None:
    """Nobody is told to come back too early."""
    assert round_up(asked) == whole
