"""Control messages, refusals and closings, as `wsauth connect` says them."""

import json

import pytest

from wsauth.cli.wording import close_line, control, line, problem_line


@pytest.mark.parametrize(
    "text",
    ["hello", "auth", '{"type":"auth_success"}', '{"type":"chat","wsauth":1,"about":"auth"}', "[" * 100_000 + "auth"],
)
def test_what_is_the_applications_is_no_control_message(text: str) -> None:
    """Only an object with `wsauth` and a type that begins with `auth_` is the server's own."""
    assert control(text) is None


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"type": "auth_required", "accept": ["token", "ticket"], "timeout": 10},
            "credentials are required within 10 s: token, ticket",
        ),
        (
            {"type": "auth_success", "issuer": "wsauth", "subject": "alice", "roles": ["member"], "permissions": []}
            | {"expires_in": 60, "renew_in": 41},
            "signed in as alice (wsauth); roles member; ends in 60 s; renew in 41 s",
        ),
        ({"type": "auth_success", "issuer": None, "subject": None, "roles": []}, "let in as nobody"),
        (
            {"type": "auth_error", "error": "Token has expired", "code": "token_expired", "action": "refresh"}
            | {"id": "k3v9xq2mzt7a", "closing": False, "attempts_left": 2},
            "refused: Token has expired (token_expired; come with a newer token, 2 attempts left, id k3v9xq2mzt7a)",
        ),
        ({"type": "auth_expiring", "expires_in": 9.5}, "the lease ends in 9.5 s"),
        ({"type": "auth_changed", "roles": [], "permissions": []}, "rights have changed: none are left"),
        (
            {
                "type": "auth_refused",
                "code": "message_invalid",
                "message": 17,
                "detail": "room: is required",
                "id": "x",
            },
            "message 17 was refused: room: is required (message_invalid; id x)",
        ),
        ({"type": "auth_later"}, "the server says auth_later"),
    ],
)
def test_control_messages_in_words(message: dict[str, object], said: str) -> None:
    """Each control message is one readable line; one of a later version is named."""
    found = control(json.dumps({"wsauth": 1} | message))
    assert found is not None
    assert line(found) == said


def test_a_server_cannot_steer_the_terminal() -> None:
    """Escape sequences and line ends in what a server says are shown, not acted on."""
    found = control(json.dumps({"type": "auth_success", "wsauth": 1, "subject": "\x1b]0;owned\x07\nroot"}))
    assert found is not None
    assert line(found).isprintable()


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (
            3000,
            "session_revoked;id=k3v9xq2mzt7a",
            "closed with 3000: The session has ended (session_revoked; sign in again, id k3v9xq2mzt7a)",
        ),
        (
            1013,
            "disconnected;id=k3v9xq2mzt7a;retry_after=60",
            "closed with 1013: Disconnected by an administrator (disconnected; try again, after 60 s, id k3v9xq2mzt7a)",
        ),
        (4000, "room is full", "closed with 4000: room is full"),
        (1006, "", "closed with 1006: the connection was cut"),
    ],
)
def test_closings_in_words(code: int, reason: str, said: str) -> None:
    """A close reason of ours tells what happened, what to do and the id; any other one is repeated."""
    assert close_line(code, reason) == said


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"detail":"no code"}'])
def test_a_refusal_that_is_not_ours(body: bytes) -> None:
    """A handshake refused by somebody else is told by its HTTP status."""
    assert problem_line(502, body) == "refused: HTTP 502"


def test_a_refusal_of_ours() -> None:
    """A handshake that we refuse is told with code, action and id."""
    body = {
        "status": 403,
        "detail": "A permission is missing",
        "code": "permission_denied",
        "action": "stop",
        "id": "x",
    }
    assert problem_line(403, json.dumps(body).encode()) == (
        "refused: A permission is missing (permission_denied; trying again does not help, id x)"
    )
