"""The in-band messages, field by field (CONTRACT section 6)."""

import json

import pytest

from tests.unit.core.protocol.driving import NOW, ROLES, person
from wsauth.core.identity import NOBODY, Identity
from wsauth.core.lease import Lease
from wsauth.core.permissions import Roles
from wsauth.core.protocol import control
from wsauth.core.refusals import Refusal
from wsauth.errors import Refused


def lease(identity: Identity, ends_at: float = NOW + 300) -> Lease:
    """Return a lease of this identity."""
    return Lease(identity, Roles(ROLES).resolve(identity), NOW, ends_at, 1)


# From the server.


def test_auth_required() -> None:
    """It says what may be sent and for how long."""
    assert control.required(["token", "ticket"], 10.0) == (
        '{"type":"auth_required","wsauth":1,"accept":["token","ticket"],"timeout":10}'
    )


def test_auth_success() -> None:
    """It is the whole lease, the session where there is one."""
    alice = person(session_id="s-1")
    assert json.loads(control.success(lease(alice), NOW + 10, 0.0)) == {
        "type": "auth_success",
        "wsauth": 1,
        "issuer": "https://login.example.com",
        "subject": "alice",
        "session_id": "s-1",
        "roles": ["member"],
        "permissions": ["chat:*:read", "chat:lobby:send"],
        "expires_in": 290,
        "renew_in": 174,
    }


def test_auth_success_leaves_out_what_there_is_not() -> None:
    """Without a session and without an end their members are missing, and nobody is `null`."""
    assert json.loads(control.success(lease(NOBODY, float("inf")), NOW, 0.5)) == {
        "type": "auth_success",
        "wsauth": 1,
        "issuer": None,
        "subject": None,
        "roles": ["anonymous"],
        "permissions": [],
    }


def test_auth_error() -> None:
    """It has text, code, action, id and whether the socket closes; two members only where they mean something."""
    error = {
        "type": "auth_error",
        "wsauth": 1,
        "error": "Token has expired",
        "code": "token_expired",
        "action": "refresh",
        "id": "q7yp4s3kdx9a",
        "closing": False,
    }
    refusal = Refusal("token_expired", "q7yp4s3kdx9a", reason="exp was 3 s ago", mend="leeway")
    assert json.loads(control.error(refusal, closing=False)) == error
    waiting = Refusal("token_expired", "q7yp4s3kdx9a", retry_after=1.2)
    assert json.loads(control.error(waiting, closing=False, attempts_left=0)) == {
        **error,
        "retry_after": 2,
        "attempts_left": 0,
    }


def test_auth_expiring() -> None:
    """It says how long there is; below ten seconds with a fraction, never less than nothing."""
    assert control.expiring(29.9) == '{"type":"auth_expiring","wsauth":1,"expires_in":29}'
    assert json.loads(control.expiring(4.9999))["expires_in"] == 4.999
    assert json.loads(control.expiring(-1))["expires_in"] == 0


def test_auth_changed() -> None:
    """It is all of the rights as they now are, and neither identity nor end."""
    assert json.loads(control.changed(lease(person(roles=["guest"])))) == {
        "type": "auth_changed",
        "wsauth": 1,
        "roles": ["guest"],
        "permissions": ["chat:lobby:read"],
    }


def test_draining_has_no_id() -> None:
    """It says nothing about this client, so there is nothing to look up."""
    message = json.loads(control.error(Refusal("draining", "q7yp4s3kdx9a", retry_after=11.2), closing=True))
    assert "id" not in message
    assert (message["code"], message["retry_after"], message["closing"]) == ("draining", 12, True)


def test_auth_refused() -> None:
    """It names the message; without a detail the public text stands there, and never the reason."""
    refusal = Refusal("permission_denied", "q7yp4s3kdx9a", reason="lacks chat:lobby:send")
    assert json.loads(control.message_refused(refusal, 17, "room: is required")) == {
        "type": "auth_refused",
        "wsauth": 1,
        "code": "permission_denied",
        "message": 17,
        "detail": "room: is required",
        "id": "q7yp4s3kdx9a",
    }
    assert json.loads(control.message_refused(refusal, 17, ""))["detail"] == "A permission is missing"


# What of the application's is held back.


@pytest.mark.parametrize(
    ("text", "reserved"),
    [
        ('{"type":"auth_success"}', True),
        (' {\n"type" : "auth_x"', True),
        ('{"type":"auth"}', False),
        ('{"type":"authors"}', False),
        ('{"text":"auth_success","type":"chat"}', False),
        ("hello", False),
    ],
)
def test_what_begins_like_one_of_ours_is_reserved(text: str, reserved: bool) -> None:
    """An application cannot be made to forge a control message."""
    assert control.is_reserved(text) is reserved


# From the client.


@pytest.mark.parametrize(
    ("text", "kind", "secret"),
    [
        ('{"type":"auth","token":"t"}', "token", "t"),
        ('{"token":"t","type":"auth"}', "token", "t"),
        ('\r\n\t {"type" : "auth" , "ticket" : "t" } ', "ticket", "t"),
        ('{"type":"auth","username":"alice","password":"p"}', "password", "p"),
        (r'{"type":"\u0061uth","tok\u0065n":"\u0074"}', "token", "t"),
        ('{"type":"auth","token":"t","extra":{"token":"u"},"n":1.5}', "token", "t"),
        ('{"type":"auth","token":"😀é"}', "token", "😀é"),
    ],
)
def test_an_auth_message_is_read_however_it_is_written(text: str, kind: str, secret: str) -> None:
    """Order, white space, escapes and unknown members do not matter."""
    credentials = control.read_auth(text)
    assert credentials is not None
    assert (credentials.kind, credentials.secret, credentials.source) == (kind, secret, "message")
    assert credentials.username == ("alice" if kind == "password" else "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello auth",
        "[]",
        '["auth"]',
        '{"type":"auth"}',
        '{"type":"auth","password":"p"}',
        '{"type":"auth_success","token":"t"}',
        '{"type":["auth"],"token":"t"}',
        '{"type":"Auth","token":"t"}',
        '{"type":"auth","token":"t"',
        '{"type":"auth","token":"t"} x',
        '{"type":"auth","token":"t",}',
        '{"type":"auth","token":"t","n":NaN}',
        '{"type":"auth","token":"t","n":-Infinity}',
        '\ufeff{"type":"auth","token":"t"}',
        "{'type':'auth','token':'t'}",
        '{"type":"auth","token":"t\n"}',
        '{"chat":{"type":"auth","token":"t"}}',
    ],
)
def test_everything_else_is_the_applications(text: str) -> None:
    """What is no JSON object with that type and a credential passes byte for byte."""
    assert control.read_auth(text) is None


def test_an_auth_message_may_have_sixteen_kibibytes() -> None:
    """The limit counts bytes of UTF-8, not characters."""
    begin, end = '{"type":"auth","token":"', '"}'
    room = 16_384 - len(begin) - len(end)
    assert control.read_auth(begin + "t" * room + end) is not None
    assert control.read_auth(begin + "t" * (room + 1) + end) is None
    assert control.read_auth(begin + "é" * (room // 2) + end) is not None
    assert control.read_auth(begin + "é" * (room // 2 + 1) + end) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"auth","token":"t","ticket":"t"}', "credentials_ambiguous"),
        ('{"type":"auth","token":"t","username":"a","password":"p"}', "credentials_ambiguous"),
        ('{"type":"auth","token":"bad","token":"good"}', "credentials_invalid"),
        ('{"type":"chat","type":"auth","token":"t"}', "credentials_invalid"),
        ('{"type":"auth","token":1}', "credentials_invalid"),
        ('{"type":"auth","token":null}', "credentials_invalid"),
        ('{"type":"auth","ticket":["t"]}', "credentials_invalid"),
        ('{"type":"auth","username":"alice"}', "credentials_invalid"),
        ('{"type":"auth","username":"alice","password":1}', "credentials_invalid"),
        (r'{"type":"auth","token":"\ud800"}', "credentials_invalid"),
        (r'{"type":"auth","username":"\udfff","password":"p"}', "credentials_invalid"),
    ],
)
def test_an_auth_message_that_is_wrong_is_refused(text: str, code: str) -> None:
    """It is ours, so the application does not get it, and nothing of it is repeated (ATTACKS IB-13, IB-14)."""
    with pytest.raises(Refused) as refused:
        control.read_auth(text)
    assert refused.value.code == code
    assert "good" not in refused.value.reason


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, "1e999999", "0.1e-99999"])
def test_a_large_number_does_not_make_an_auth_message_the_applications(number: str) -> None:
    """A token beside a number that Python will not read is still not passed to the application (ATTACKS IB-15)."""
    credentials = control.read_auth(f'{{"type":"auth","token":"t","n":{number}}}')
    assert credentials is not None
    assert credentials.secret == "t"


def test_deep_json_does_not_make_an_auth_message_the_applications() -> None:
    """A token beside a value too deep to be read is refused, not passed to the application (ATTACKS IB-15)."""
    with pytest.raises(Refused) as refused:
        control.read_auth('{"type":"auth","token":"t","x":' + "[" * 8_000 + "]" * 8_000 + "}")
    assert refused.value.code == "credentials_invalid"


@pytest.mark.parametrize("text", ["[" * 16_000, '{"x":' * 3_000 + "1" + "}" * 3_000, '{"auth":' + "1," * 8_000])
def test_hostile_json_that_cannot_be_ours_is_the_applications(text: str) -> None:
    """Deep or broken input raises nothing of ours (ATTACKS IB-15)."""
    assert control.read_auth(text) is None


@pytest.mark.parametrize(
    ("text", "kind", "secret"),
    [
        ("Authorization: Bearer t", "token", "t"),
        ("AUTHORIZATION:bearer t", "token", "t"),
        ("Authorization: Basic YWxpY2U6cA==", "password", "p"),
    ],
)
def test_the_plain_text_form_is_read(text: str, kind: str, secret: str) -> None:
    """Header name and scheme are written in any letter case."""
    credentials = control.read_plain_auth(text)
    assert credentials is not None
    assert (credentials.kind, credentials.secret, credentials.source) == (kind, secret, "message")


@pytest.mark.parametrize("text", ["Authorization: Digest t", "Bearer t", "x Authorization: Bearer t", "Authorization"])
def test_what_is_no_plain_text_form_is_the_applications(text: str) -> None:
    """Only `Bearer` and `Basic` after the header's name count."""
    assert control.read_plain_auth(text) is None


@pytest.mark.parametrize("text", ["Authorization: Bearer ", "Authorization: Bearer a b", "Authorization: Basic !"])
def test_a_malformed_plain_text_form_is_refused(text: str) -> None:
    """It is meant for us and is wrong."""
    with pytest.raises(Refused) as refused:
        control.read_plain_auth(text)
    assert refused.value.code == "credentials_invalid"
