"""Keep secrets out of what servers and libraries log (ATTACKS LG-01, LG-02, LG-06; ASVS 16.2.5).

uvicorn writes the URL of every WebSocket with its query at INFO, `websockets` every header and frame at DEBUG, and
each server the tracebacks of whatever fails. `install` stands where all records of all loggers are made, so it
holds however and whenever logging is configured. A record that is not emitted costs nothing.

What does not pass through `logging` is not seen: `print`, and daphne's access log of HTTP requests.
"""

import logging
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_plus

__all__ = ["install", "redact"]

HIDDEN: Final = "<redacted>"

_NAMES: Final = (
    "access_token",
    "authorization",
    "client_secret",
    "id_token",
    "password",
    "refresh_token",
    "ticket",
    "token",
)
_SUSPECT: Final = re.compile(
    r"e[yw]|wy|wsk_|ws[rc]\.|wsauth\.|token|ticket|auth|bearer|basic|cookie|passw|secret|protocol|%\d|TEXT|BINARY|CONT",
    re.IGNORECASE,
)
"""What any secret below has nearby; most records have nothing of it."""

_FRAME: Final = re.compile(r"\A([<>] (?:TEXT|BINARY|CONT|PING|PONG) ).*( \[[^\[\]]*\])\s*\Z", re.DOTALL)
_QUOTED: Final = r"""b?"(?:[^"\\]|\\.)*"? | b?'(?:[^'\\]|\\.)*'?"""
"""A text or bytes literal, or what is left of one that was cut off."""
_HEADER: Final = re.compile(
    rf"""(?ix) ((?: (?<![a-z-]) | \\[nrt] ) (?: (?:proxy-)?authorization | (?:set-)?cookie | sec-websocket-protocol )
    (?:\ header)? \\?["']? \s* [:,] \s*) (?: {HIDDEN} | {_QUOTED} | (?:(?!\\r|\\n)[^\r\n])* )"""
)
_MEMBER: Final = re.compile(
    rf"""(?ix) (["'] (?:{"|".join(_NAMES)}) (?:\\?["']) \s* : \s*) (?: {_QUOTED} | \\"(?:[^"\\]|\\[^"])*(?:\\")? )"""
)
_PAIR: Final = re.compile(
    rf"""(?ix) (?<![\w%+.-]) ([\w%+.-]+) = (?: {_QUOTED} | (?:(?:bearer|basic)(?:\s|%20|\+)+)? [^\s&"'<>,;)\]}}]+ )"""
)
_SCHEME: Final = re.compile(r"\b(bearer|basic)(\s+|%20|\+)[\w.~+/%=-]{12,}", re.IGNORECASE)
_OFFER: Final = re.compile(r"\bwsauth\.(bearer|ticket)\.[^\s,'\"]+", re.IGNORECASE)
_OFFERS: Final = re.compile(r"(['\"]subprotocols['\"]: )\[[^\]]*\]")
_JWS: Final = re.compile(r"(?<![\w-])(?:e[yw]|Wy)[\w-]{6,}\.[\w.~+/%=-]*")
"""A JWS, whose header is a JSON object, or a ticket of ours, a JSON array."""
_OWN: Final = re.compile(r"\b(?:wsk_[\w-]+|ws[rc]\.[\w-]{20,}[\w.~+/%=-]*)")
"""API keys, refresh tokens and the values of session cookies."""


def redact(text: str) -> str:
    """Return the text without credentials; names of headers, parameters and members stay."""
    if _SUSPECT.search(text) is None:
        return text
    # Each pattern is slow beside a look for the words that it cannot do without.
    low = text.lower()
    if text[:1] in ("<", ">"):
        text = _FRAME.sub(rf"\1{HIDDEN}\2", text)
    if "wsauth." in low:
        text = _OFFER.sub(rf"wsauth.\1.{HIDDEN}", text)
    if "authorization" in low or "cookie" in low or "sec-websocket-protocol" in low:
        text = _HEADER.sub(rf"\1{HIDDEN}", text)
    if "subprotocols" in low:
        text = _OFFERS.sub(rf"\1{HIDDEN}", text)
    if '"' in text or "'" in text:
        text = _MEMBER.sub(rf'\1"{HIDDEN}"', text)
    if "=" in text:
        text = _PAIR.sub(_redact_pair, text)
    if "bearer" in low or "basic" in low:
        text = _SCHEME.sub(rf"\1\2{HIDDEN}", text)
    if "." in text:
        text = _OWN.sub(HIDDEN, _JWS.sub(HIDDEN, text))
    elif "wsk_" in text:
        text = _OWN.sub(HIDDEN, text)
    return text


def install() -> None:
    """Redact every record from now on, of every logger; doing it twice changes nothing."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, _Redacting):
        logging.setLogRecordFactory(_Redacting(make))


class _Redacting:
    """Make records as the factory before does, without credentials."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **keywords: Any) -> logging.LogRecord:
        record = self._make(*args, **keywords)
        try:
            _clean(record)
        except Exception:  # noqa: BLE001  a log call never fails; what cannot be looked at is not shown either
            record.msg, record.args = "a record that could not be redacted", None
            record.exc_info = record.exc_text = None
        return record


def _clean(record: logging.LogRecord) -> None:
    """Redact the arguments one by one where that is enough: some formatters (uvicorn's access log) read them."""
    text = _message(record)
    clean = redact(text)
    if clean != text:
        if isinstance(record.args, tuple):
            record.args = tuple(redact(each) if type(each) is str else each for each in record.args)
        if _message(record) != clean:
            record.msg, record.args = clean, None
    if record.exc_info:
        trace = record.exc_text or logging.Formatter().formatException(record.exc_info)
        clean = redact(trace)
        if clean != trace:
            record.exc_text = clean
    if record.stack_info:
        record.stack_info = redact(record.stack_info)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  logging would print the arguments to standard error as they are
        record.msg, record.args = f"{record.msg} {record.args!r}", None
        return record.msg


def _redact_pair(match: re.Match[str]) -> str:
    name = match[1]
    return f"{name}={HIDDEN}" if unquote_plus(name).lower() in _NAMES else match[0]
