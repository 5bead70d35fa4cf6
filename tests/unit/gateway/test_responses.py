"""HTTP answers as bytes."""

import json

import pytest

from tests.attacks.wire import KEY
from wsauth.core.answer import Answer, accept_of
from wsauth.core.refusals import Refusal
from wsauth.gateway.responses import ending, problem, response, switching

ACCEPT = accept_of(KEY.encode())
YES = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)


def test_a_yes_without_an_upstream() -> None:
    """A client that is let in before the upstream is asked gets the least that there is."""
    assert switching(ACCEPT, "", None, []) == YES + b"\r\n"


def test_a_yes_with_all_there_can_be() -> None:
    """Subprotocol, our own headers, and the upstream's extensions and headers."""
    answer = Answer("chat", "permessage-deflate", [(b"set-cookie", b"a=b")])
    found = switching(ACCEPT, "chat", answer, [(b"strict-transport-security", b"max-age=1")])
    assert found.startswith(YES)
    assert found.endswith(b"\r\n\r\n")
    assert found[len(YES) : -4].split(b"\r\n") == [
        b"Sec-WebSocket-Protocol: chat",
        b"strict-transport-security: max-age=1",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"set-cookie: a=b",
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 421, 426, 429, 431, 500, 502, 503])
def test_a_no_ends_the_connection(status: int) -> None:
    """A problem has its length and says that TCP ends; 405 says what is allowed (RFC 9110 section 15.5.6)."""
    headers, body = ending(Refusal("request_invalid", "id", status=status))
    named = dict(headers)
    assert named[b"content-length"] == b"%d" % len(body)
    assert named[b"connection"] == b"close"
    assert (named.get(b"allow") == b"GET") is (status == 405)
    assert json.loads(body)["status"] == status
    whole = response(status, headers, body)
    assert whole.startswith(b"HTTP/1.1 %d " % status)
    assert whole.endswith(b"\r\n\r\n" + body)


def test_a_problem_is_explained_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    """The rule and the peer stand in the log with the id that the peer gets, and nothing of the rule in the answer."""
    caplog.set_level("INFO", "wsauth")
    _, body = problem("request_invalid", 400, "two lines of Host", "192.0.2.7")
    told = json.loads(body)
    assert told["code"] == "request_invalid"
    assert f"Refused request_invalid (400) from 192.0.2.7: two lines of Host (id={told['id']})" in caplog.text
    assert b"Host" not in body


@pytest.mark.parametrize("rule", ["a\nb", "a\r\nb", "a\x1b[31mb", "x" * 10_000, "\u202eabc"])
def test_a_problem_forges_no_log_line(rule: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a peer sent cannot begin a line of the log, colour it, turn it round or fill it (CWE-117)."""
    caplog.set_level("INFO", "wsauth")
    problem("request_invalid", 400, rule, "")
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 3_000
    assert "from ?:" in record.getMessage()
