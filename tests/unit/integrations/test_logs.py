"""What `redact` hides and keeps, and that every record passes through it."""

import io
import logging
import time
from collections.abc import Generator

import pytest

from wsauth import Guard
from wsauth.integrations.asgi.logs import install, redact

SECRET = "s3cr3tvalue"
JWS = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def written() -> Generator[io.StringIO]:
    """Log to a text, with redaction installed for this test only."""
    before = logging.getLogRecordFactory()
    install()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("some.server")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            '1.2.3.4 - "WebSocket /ws?ticket=s3cr3tvalue&x=1" [accepted]',
            '1.2.3.4 - "WebSocket /ws?ticket=<redacted>&x=1" [accepted]',
        ),
        ("GET /ws?x=1&tok%65n=s3cr3tvalue HTTP/1.1", "GET /ws?x=1&tok%65n=<redacted> HTTP/1.1"),
        ("GET /ws?Authorization=Bearer%20s3cr3tvalue HTTP/1.1", "GET /ws?Authorization=<redacted> HTTP/1.1"),
        ("< Authorization: Bearer s3cr3tvalue", "< Authorization: <redacted>"),
        ("< cookie: a=s3cr3tvalue; b=c", "< cookie: <redacted>"),
        ("> Set-Cookie: a=s3cr3tvalue", "> Set-Cookie: <redacted>"),
        ("< Sec-WebSocket-Protocol: chat, s3cr3tvalue", "< Sec-WebSocket-Protocol: <redacted>"),
        (
            r"b'GET / HTTP/1.1\r\nCookie: s3cr3tvalue\r\nHost: a\r\n'",
            r"b'GET / HTTP/1.1\r\nCookie: <redacted>\r\nHost: a\r\n'",
        ),
        (
            "[(b'host', b'a'), (b'authorization', b's3cr3tvalue'), (b'x', b'y')]",
            "[(b'host', b'a'), (b'authorization', <redacted>), (b'x', b'y')]",
        ),
        (
            "{'query_string': b'ticket=s3cr3tvalue', 'subprotocols': ['s3cr3tvalue'], 'path': '/'}",
            "{'query_string': b'ticket=<redacted>', 'subprotocols': <redacted>, 'path': '/'}",
        ),
        (
            "offers wsauth.v1, wsauth.ticket.s3cr3tvalue, wsauth.bearer.s3cr3tvalue",
            "offers wsauth.v1, wsauth.ticket.<redacted>, wsauth.bearer.<redacted>",
        ),
        (f"the token {JWS} is bad", "the token <redacted> is bad"),
        (f"the token {JWS[:40]}... is bad", "the token <redacted> is bad"),
        ('{"type":"auth","token":"s3cr3tvalue","x":1}', '{"type":"auth","token":"<redacted>","x":1}'),
        ('{"password" : "s3cr3t\\"value", "x":1}', '{"password" : "<redacted>", "x":1}'),
        ('{"ticket":"s3cr3tva...', '{"ticket":"<redacted>"'),
        ("{'token': 's3cr3tvalue'}", "{'token': \"<redacted>\"}"),
        ("""< TEXT '{"token":"s3cr3tvalue"}' [24 bytes]""", "< TEXT <redacted> [24 bytes]"),
        ("< CONT 's3cr3tvalue...' [text, 80 bytes, continued]", "< CONT <redacted> [text, 80 bytes, continued]"),
        ("> BINARY 73 33 63 [3 bytes]", "> BINARY <redacted> [3 bytes]"),
        ("Connect(authorization='Bearer s3cr3tvalue', x=1)", "Connect(authorization=<redacted>, x=1)"),
        ("sent Bearer s3cr3tvalue-and-more", "sent Bearer <redacted>"),
        ("API key wsk_s3cr3tvalue", "API key <redacted>"),
    ],
)
def test_a_secret_is_hidden_and_the_rest_stays(text: str, left: str) -> None:
    """Of each form in which servers write a secret its name and its neighbours are left."""
    assert redact(text) == left
    assert redact(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "connection open",
        '127.0.0.1:5 - "GET /docs?page=2 HTTP/1.1" 200',
        "WWW-Authenticate: Bearer",
        "the header is neither Bearer TOKEN nor Basic USER:PASSWORD",
        "HandshakeRefused token_invalid (id=abc) from 127.0.0.1 at /ws: the token has no kid",
        "websockets.asyncio.server",
        "> CLOSE 1000 (OK) bye [5 bytes]",
        "{'token': None}",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """A log without secrets is as it was."""
    assert redact(text) == text


def test_hostile_text_costs_little() -> None:
    """Redaction takes time in proportion to the text, whatever stands in it."""
    for piece in ("token=", "cookie: ", '"token":"', "bearer ", "ey------.", "< TEXT [", "a%", "authorization ", "\\"):
        began = time.perf_counter()
        redact(f"token {piece * (200_000 // len(piece))}")
        assert time.perf_counter() - began < 1


def test_every_record_is_redacted_whoever_formats_it(written: io.StringIO) -> None:
    """Arguments, exceptions and stacks are clean by the time a handler sees them."""
    logger = logging.getLogger("some.server")
    logger.info('%s - "WebSocket %s"', "1.2.3.4", f"/ws?ticket={SECRET}")
    logger.info("< %s: %s", "Authorization", SECRET)
    logger.info("%(path)s", {"path": f"/?token={SECRET}"})
    logger.info("no such %d argument", f"token={SECRET}")
    try:
        raise ValueError(f"Authorization: Bearer {SECRET}")
    except ValueError:
        logger.exception("failed", stack_info=True)
    assert SECRET not in written.getvalue()
    assert "WebSocket /ws?ticket=<redacted>" in written.getvalue()
    assert "ValueError: Authorization: <redacted>" in written.getvalue()


def test_arguments_keep_their_number(written: io.StringIO) -> None:
    """uvicorn's access log reads five arguments of a record; after redaction there are five."""
    record = logging.getLogger("uvicorn.access").makeRecord(
        "uvicorn.access",
        logging.INFO,
        "f",
        1,
        '%s - "%s %s HTTP/%s" %d',
        ("a", "GET", f"/?token={SECRET}", "1.1", 200),
        None,
    )
    assert record.args == ("a", "GET", "/?token=<redacted>", "1.1", 200)
    assert written.getvalue() == ""


def test_a_log_call_never_fails(written: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that cannot be shown is not shown, and nothing reaches standard error."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError(SECRET)

    logging.getLogger("some.server").info("%s", Broken())
    assert written.getvalue() == "a record that could not be redacted\n"
    assert capsys.readouterr().err == ""


def test_installing_twice_changes_nothing(written: io.StringIO) -> None:
    """The second time finds the first."""
    factory = logging.getLogRecordFactory()
    install()
    assert logging.getLogRecordFactory() is factory
    assert written.getvalue() == ""


def test_a_record_that_is_not_emitted_is_not_made(written: io.StringIO) -> None:
    """Below the logger's level nothing is formatted."""

    class Counted:
        shown = 0

        def __str__(self) -> str:
            Counted.shown += 1
            return "shown"

    logger = logging.getLogger("some.server")
    logger.setLevel(logging.INFO)
    logger.debug("%s", Counted())
    assert (Counted.shown, written.getvalue()) == (0, "")


def test_a_guard_installs_it() -> None:
    """Whoever makes a guard has clean logs, before the first connection."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    try:
        Guard(verifiers=[], origins=[])
        record = logging.getLogger("uvicorn.error").makeRecord("x", 20, "f", 1, f"/ws?ticket={SECRET}", (), None)
        assert SECRET not in record.getMessage()
    finally:
        logging.setLogRecordFactory(before)
