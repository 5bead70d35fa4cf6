"""The one place where a no becomes HTTP status, close code, action and public text (CONTRACT section 7).

The text is for people and fixed: nothing the peer sent is ever repeated to it. Why a rule said no is for the log.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec

from wsauth.core.protocol.wire import REASON_LIMIT
from wsauth.errors import Refused

__all__ = ["ID_LENGTH", "TABLE", "Action", "Refusal", "Rule", "denial"]

Action = Literal["login", "refresh", "retry", "stop"]

ID_LENGTH: Final = 12
"""Characters of a refusal's id."""

TRY_AGAIN_LATER: Final = 1013
_TAKEN_AWAY: Final = frozenset({"token_revoked", "session_revoked", "permission_denied", "rights_changed"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Say what an outsider sees of one code.

    Attributes:
        status: HTTP status, or `None` where the code never answers a handshake.
        close: WebSocket close code, or `None` where the socket stays open.
        action: what the client should do.
        text: for people; it may change.
    """

    status: int | None
    close: int | None
    action: Action
    text: str


TABLE: Final[dict[str, Rule]] = {
    "credentials_missing": Rule(401, 3000, "login", "Credentials are required"),
    "credentials_invalid": Rule(401, 3000, "login", "The credentials are wrong"),
    "credentials_ambiguous": Rule(400, 3000, "stop", "More than one credential was presented"),
    "credentials_in_query": Rule(400, 3000, "stop", "Tokens are not accepted in the URL"),
    "token_invalid": Rule(401, 3000, "login", "Token is invalid"),
    "token_expired": Rule(401, 3000, "refresh", "Token has expired"),
    "token_revoked": Rule(401, 3000, "login", "Token has been revoked"),
    "session_revoked": Rule(401, 3000, "login", "The session has ended"),
    "ticket_invalid": Rule(401, 3000, "retry", "The ticket is not valid; ask for a new one"),
    "auth_timeout": Rule(None, 3008, "retry", "Authentication took too long"),
    "too_many_attempts": Rule(None, 3000, "login", "Too many failed attempts"),
    "identity_mismatch": Rule(403, None, "stop", "The credentials are somebody else's"),
    "step_up_required": Rule(403, None, "login", "A stronger or more recent login is required"),
    "permission_denied": Rule(403, 3003, "stop", "A permission is missing"),
    "rights_changed": Rule(None, 1012, "retry", "Rights have changed; connect again"),
    "disconnected": Rule(None, 3003, "stop", "Disconnected by an administrator"),
    "idle_timeout": Rule(None, 3008, "retry", "Nothing was said for too long"),
    "too_slow": Rule(None, 1013, "retry", "Messages were not read fast enough"),
    "origin_denied": Rule(403, None, "stop", "This page may not connect"),
    "csrf_failed": Rule(403, None, "stop", "The request did not prove where it came from"),
    "password_change_required": Rule(403, None, "stop", "The password must be changed first"),
    "address_blocked": Rule(403, 1013, "retry", "This address is blocked"),
    "rate_limited": Rule(429, 1013, "retry", "Too many requests"),
    "too_many_connections": Rule(429, 1013, "retry", "Too many connections"),
    "account_locked": Rule(429, 1013, "retry", "Too many failed logins; try again later"),
    "message_invalid": Rule(None, 1008, "stop", "The message is not valid"),
    "message_too_large": Rule(None, 1009, "retry", "The message is too large"),
    "message_unsupported": Rule(None, 1003, "stop", "This kind of message is not supported"),
    "password_rejected": Rule(422, 1002, "stop", "The password is not acceptable"),
    "conflict": Rule(409, 1002, "stop", "The request conflicts with what is there"),
    "not_found": Rule(404, 1002, "stop", "There is nothing here"),
    "request_invalid": Rule(400, 1002, "stop", "The request is not valid"),
    "upstream_unavailable": Rule(502, 1013, "retry", "The service behind this one is not available"),
    "unavailable": Rule(503, 1013, "retry", "Not available at the moment"),
    "draining": Rule(503, 1012, "retry", "The server is restarting"),
}


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Be one no: a code of the table, an id that the log explains, and what the log says about it.

    Attributes:
        code: a key of `TABLE`.
        id: 12 characters; empty for `draining`.
        retry_after: seconds, or `None`.
        reason: for the log.
        mend: the configuration line to change, for the log.
        status: HTTP status instead of the table's, within `request_invalid` (405, 426, 431 …).
        close: close code instead of the table's, where the application's own no is translated.
    """

    code: str
    id: str
    retry_after: float | None = None
    reason: str = ""
    mend: str = ""
    status: int | None = None
    close: int | None = None

    @classmethod
    def of(cls, error: Refused, id: str) -> "Refusal":
        """Give a raised no its id. A code that the table does not have counts as wrong credentials."""
        if error.code not in TABLE:
            reason = f"a verifier refused with the unknown code {error.code!r}: {error.reason}"
            return cls("credentials_invalid", id, reason=reason, mend="use a code of wsauth.core.refusals.TABLE")
        return cls(error.code, id, error.retry_after, error.reason, error.mend)

    @property
    def rule(self) -> Rule:
        """Return the table's row."""
        return TABLE[self.code]

    @property
    def action(self) -> Action:
        """Return what the client should do; a disconnection with `retry_after` may come back."""
        if self.code == "disconnected" and self.retry_after is not None:
            return "retry"
        return self.rule.action

    @property
    def close_code(self) -> int:
        """Return the close code; 3000 where the table keeps the socket open but the socket is to be closed."""
        if self.code == "disconnected" and self.retry_after is not None:
            return TRY_AGAIN_LATER
        return self.close or self.rule.close or 3000

    @property
    def close_reason(self) -> str:
        """Return `CODE;id=ID;retry_after=N`, at most 123 bytes."""
        reason = self.code
        if self.id and self.code != "draining":
            reason += f";id={self.id}"
        if self.retry_after is not None:
            reason += f";retry_after={round_up(self.retry_after)}"
        return reason[:REASON_LIMIT]

    @property
    def takes_away(self) -> bool:
        """Tell whether rights end with it at once, and not a lease in its time (CONTRACT section 6, "Close frames")."""
        return self.code in _TAKEN_AWAY

    @property
    def http_status(self) -> int:
        """Return the HTTP status; 503 for a code that never answers a handshake."""
        return self.status or self.rule.status or 503

    def problem(self) -> dict[str, Any]:
        """Return the body of an HTTP refusal (RFC 9457)."""
        status = self.http_status
        body: dict[str, Any] = {
            "status": status,
            "title": HTTPStatus(status).phrase,
            "detail": self.rule.text,
            "code": self.code,
            "action": self.action,
            "id": self.id,
        }
        if self.retry_after is not None:
            body["retry_after"] = round_up(self.retry_after)
        return body

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of an HTTP refusal (RFC 9110 sections 10.2.3 and 11.6.1, RFC 6455 section 4.4)."""
        headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
        status = self.http_status
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == HTTPStatus.UPGRADE_REQUIRED:
            headers.append((b"sec-websocket-version", b"13"))
        if self.retry_after is not None:
            headers.append((b"retry-after", str(round_up(self.retry_after)).encode()))
        return headers


def denial(status: int) -> tuple[Refused, int | None]:
    """Return what the HTTP answer means by which an application denies a handshake, and its close code (section 9)."""
    if status == HTTPStatus.UNAUTHORIZED:
        return Refused("credentials_invalid", "the application answered 401"), 3000
    if status == HTTPStatus.FORBIDDEN:
        return Refused("permission_denied", "the application answered 403"), None
    return Refused("unavailable", f"the application answered {status}"), 1011


def round_up(seconds: float) -> int:
    """Return whole seconds, never fewer than asked for."""
    return max(0, -int(-seconds // 1))
