"""What a server says, in one readable line: control messages, refusals and closings. It may be anybody's server."""

import json
from collections.abc import Callable
from typing import Any, Final

from wsauth.cli.output import clean
from wsauth.core.refusals import TABLE

__all__ = ["close_line", "control", "line", "problem_line"]

_ACTIONS: Final = {
    "login": "sign in again",
    "refresh": "come with a newer token",
    "retry": "try again",
    "stop": "trying again does not help",
}
_CLOSINGS: Final = {
    1001: "the server goes away",
    1002: "protocol error",
    1003: "this kind of message is not supported",
    1006: "the connection was cut",
    1008: "policy",
    1009: "the message is too large",
    1011: "the server failed",
    1012: "the server restarts",
    1013: "try again later",
}


def control(text: str) -> dict[str, Any] | None:
    """Return a control message of the server's, or `None` when the message is the application's."""
    if "auth" not in text:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or "wsauth" not in message:
        return None
    return message if str(message.get("type", "")).startswith("auth_") else None


def line(message: dict[str, Any]) -> str:
    """Return a control message in words."""
    say = _SAY.get(message["type"])
    return say(message) if say else f"the server says {clean(message['type'])}"


def problem_line(status: int, body: bytes | bytearray) -> str:
    """Return the refusal of a handshake in words."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        return f"refused: HTTP {status}"
    return f"refused: {_refusal(problem, problem.get('detail'))}"


def close_line(code: int, reason: str) -> str:
    """Return why a connection was closed in words; ours read `CODE;id=ID;retry_after=N`."""
    name, *rest = reason.split(";")
    told = dict(part.partition("=")[::2] for part in rest)
    rule = TABLE.get(name)
    if rule is None:
        why = clean(reason) or _CLOSINGS.get(code, "no reason was given")
        return f"closed with {code}: {why}"
    action = "retry" if name == "disconnected" and "retry_after" in told else rule.action
    return f"closed with {code}: {_refusal({'code': name, 'action': action, **told}, rule.text)}"


def _required(message: dict[str, Any]) -> str:
    accepted = clean(message.get("accept")) or "a credential"
    return f"credentials are required within {clean(message.get('timeout'))} s: {accepted}"


def _success(message: dict[str, Any]) -> str:
    subject = message.get("subject")
    parts = [f"signed in as {clean(subject)} ({clean(message.get('issuer'))})" if subject else "let in as nobody"]
    parts += _rights(message)
    if "expires_in" in message:
        parts.append(f"ends in {clean(message['expires_in'])} s")
    if "renew_in" in message:
        parts.append(f"renew in {clean(message['renew_in'])} s")
    return "; ".join(parts)


def _rights(message: dict[str, Any]) -> list[str]:
    named = ((name, clean(message.get(name))) for name in ("roles", "permissions"))
    return [f"{name} {value}" for name, value in named if value]


def _error(message: dict[str, Any]) -> str:
    return f"refused: {_refusal(message, message.get('error'))}"


def _refusal(told: dict[str, Any], text: object) -> str:
    """Return text and code, and in brackets what to do and the id that the server's log explains."""
    more = [_ACTIONS.get(str(told.get("action")), "")]
    if "retry_after" in told:
        more.append(f"after {clean(told['retry_after'])} s")
    if "attempts_left" in told:
        more.append(f"{clean(told['attempts_left'])} attempts left")
    if "id" in told:
        more.append(f"id {clean(told['id'])}")
    said = ", ".join(part for part in more if part)
    return f"{clean(text)} ({clean(told['code'])}{f'; {said}' if said else ''})" if "code" in told else clean(text)


def _expiring(message: dict[str, Any]) -> str:
    return f"the lease ends in {clean(message.get('expires_in'))} s"


def _changed(message: dict[str, Any]) -> str:
    return f"rights have changed: {'; '.join(_rights(message)) or 'none are left'}"


def _refused(message: dict[str, Any]) -> str:
    return f"message {clean(message.get('message'))} was refused: {_refusal(message, message.get('detail'))}"


_SAY: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "auth_required": _required,
    "auth_success": _success,
    "auth_error": _error,
    "auth_expiring": _expiring,
    "auth_changed": _changed,
    "auth_refused": _refused,
}
