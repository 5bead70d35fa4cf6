"""The in-band messages: tell a client's apart from the application's, and write the server's (CONTRACT section 6)."""

import json
import re
from math import ceil, floor
from typing import Any, Final

import msgspec

from wsauth.core.credentials import Credentials
from wsauth.core.handshake import authorization
from wsauth.core.lease import Lease
from wsauth.core.protocol.wire import CONTROL_LIMIT, VERSION
from wsauth.core.refusals import Refusal, round_up
from wsauth.errors import Refused

__all__ = [
    "changed",
    "error",
    "expiring",
    "is_reserved",
    "may_be_auth",
    "may_become_reserved",
    "message_refused",
    "read_auth",
    "read_plain_auth",
    "renew_in",
    "required",
    "success",
]

_encode: Final = msgspec.json.Encoder().encode
_RESERVED: Final = re.compile(r'\s*\{\s*"type"\s*:\s*"auth_')
_BEGINNING: Final = ("\\s*", "\\{", "\\s*", *'"type"', "\\s*", ":", "\\s*", *'"auth_')
_MAY_BECOME: Final = re.compile("".join(f"(?:$|{atom}" for atom in _BEGINNING) + ")" * len(_BEGINNING))
_PLAIN: Final = re.compile(r"authorization: *(?=bearer |basic )", re.IGNORECASE | re.ASCII)


def may_be_auth(text: str) -> bool:
    """Tell, before any parsing, whether a message could be a client's `auth`; never false for one that is."""
    if len(text) > CONTROL_LIMIT:
        return False
    return ("auth" in text or "\\u" in text) and text.lstrip(" \t\r\n")[:1] == "{"


def read_auth(text: str) -> Credentials | None:
    """Return what a client's `auth` message presents, or `None` when the message is the application's.

    Raises:
        Refused: it is an `auth` message, but members stand in it twice, or it presents not exactly one credential;
            or it is nested too deeply to tell.
    """
    if not may_be_auth(text) or len(text.encode("utf-8", "surrogatepass")) > CONTROL_LIMIT:
        return None
    doubled: list[bool] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(members)
        if len(found) != len(members):
            doubled.append(True)
        return found

    try:
        message = json.loads(text, object_pairs_hook=pairs, parse_constant=_reject, parse_int=_integer)
    except RecursionError:
        raise Refused("credentials_invalid", "what may be an auth message is nested too deeply to be read") from None
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("type") != "auth":
        return None
    presented = [name for name in ("token", "ticket", "username") if name in message]
    if not presented:
        return None
    if doubled:
        raise Refused("credentials_invalid", "a member stands twice in the auth message")
    if len(presented) > 1:
        raise Refused("credentials_ambiguous", f"the auth message holds {' and '.join(presented)}")
    return _credentials(presented[0], message)


def _credentials(name: str, message: dict[str, Any]) -> Credentials:
    value = message[name]
    password = message.get("password") if name == "username" else ""
    if not isinstance(value, str) or not isinstance(password, str):
        raise Refused("credentials_invalid", f"the auth message's {name} or password is not text")
    if not _encodable(value) or not _encodable(password):
        raise Refused("credentials_invalid", "the auth message holds half a surrogate pair (RFC 8259 section 8.2)")
    if name == "username":
        return Credentials("password", password, source="message", username=value)
    return Credentials("ticket" if name == "ticket" else "token", value, source="message")


def read_plain_auth(text: str) -> Credentials | None:
    """Return what a first message `Authorization: Bearer …` or `Authorization: Basic …` presents, else `None`.

    Raises:
        Refused: it is one, and malformed.
    """
    match = _PLAIN.match(text)
    if match is None or len(text) > CONTROL_LIMIT:
        return None
    found = authorization(text[match.end() :].strip())
    return Credentials(found.kind, found.secret, source="message", username=found.username)


def is_reserved(text: str) -> bool:
    """Tell whether a message of the application looks like one of ours, so that it must not reach the client."""
    return _RESERVED.match(text) is not None


def may_become_reserved(beginning: str) -> bool:
    """Tell whether a message that begins like this could turn out to be reserved."""
    return _MAY_BECOME.fullmatch(beginning) is not None


def required(accept: list[str], timeout: float) -> str:
    """Write `auth_required`."""
    return _write({"type": "auth_required", "wsauth": VERSION, "accept": accept, "timeout": _seconds(timeout)})


def success(lease: Lease, now: float, draw: float) -> str:
    """Write `auth_success` for the lease as it is; `draw` (0 to 1) spreads `renew_in`."""
    identity = lease.identity
    message: dict[str, Any] = {
        "type": "auth_success",
        "wsauth": VERSION,
        "issuer": identity.issuer if identity.is_authenticated else None,
        "subject": identity.subject if identity.is_authenticated else None,
        "roles": identity.roles,
        "permissions": lease.permissions.names,
    }
    if identity.session_id is not None:
        message["session_id"] = identity.session_id
    if lease.ends:
        message["expires_in"] = _seconds(lease.ends_at - now)
        message["renew_in"] = renew_in(message["expires_in"], draw)
    return _write(message)


def renew_in(expires_in: float, draw: float) -> float:
    """Return 60 to 85 % of `expires_in` seconds, whole from ten seconds on; `draw` (0 to 1) says where between."""
    chosen = expires_in * (0.6 + 0.25 * draw)
    return max(floor(chosen), ceil(expires_in * 0.6)) if chosen >= 12 else round(chosen, 3)


def error(refusal: Refusal, *, closing: bool, attempts_left: int | None = None) -> str:
    """Write `auth_error`; `draining` has no id, as in its close reason."""
    message: dict[str, Any] = {
        "type": "auth_error",
        "wsauth": VERSION,
        "error": refusal.rule.text,
        "code": refusal.code,
        "action": refusal.action,
        "closing": closing,
    }
    if refusal.code != "draining":
        message["id"] = refusal.id
    if refusal.retry_after is not None:
        message["retry_after"] = round_up(refusal.retry_after)
    if attempts_left is not None:
        message["attempts_left"] = attempts_left
    return _write(message)


def expiring(expires_in: float) -> str:
    """Write `auth_expiring`."""
    return _write({"type": "auth_expiring", "wsauth": VERSION, "expires_in": _seconds(expires_in)})


def changed(lease: Lease) -> str:
    """Write `auth_changed` for the rights as they now are."""
    message: dict[str, Any] = {
        "type": "auth_changed",
        "wsauth": VERSION,
        "roles": lease.identity.roles,
        "permissions": lease.permissions.names,
    }
    return _write(message)


def message_refused(refusal: Refusal, number: int, detail: str) -> str:
    """Write `auth_refused` for the application message of this number, counted from 1."""
    message: dict[str, Any] = {
        "type": "auth_refused",
        "wsauth": VERSION,
        "code": refusal.code,
        "message": number,
        "detail": detail or refusal.rule.text,
        "id": refusal.id,
    }
    if refusal.retry_after is not None:
        message["retry_after"] = round_up(refusal.retry_after)
    return _write(message)


def _seconds(value: float) -> float:
    """Round down: whole seconds from ten on, milliseconds below."""
    return floor(value) if value >= 10 else max(0.0, floor(value * 1000) / 1000)


def _write(message: dict[str, Any]) -> str:
    return _encode(message).decode()


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _integer(digits: str) -> int:
    """Read a number that nobody needs, however long; Python refuses over 4,300 digits."""
    return int(digits[:20])


def _reject(constant: str) -> float:
    raise ValueError(constant)
