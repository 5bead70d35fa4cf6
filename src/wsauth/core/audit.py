"""The audit log's rules: what becomes of an event there, how entries hold on to each other, and what breaks that.

Entries of one process and file are a chain: the tag of each is a MAC over the tag before it and its own bytes, so none
can be changed, taken out or moved without the key. A head says how far a chain goes; with it a cut-off end is found.
"""

from collections.abc import Callable, Iterable, Mapping
from hmac import compare_digest
from typing import Any, Final, Literal

import msgspec

from wsauth.core import events

__all__ = ["LEFT_OUT", "SEGMENT", "TABLE", "Chain", "Head", "Row", "check", "entry_of", "name_of", "segment_of"]

Kind = Literal["change", "decision"]
Sign = Callable[[bytes], bytes]

LEFT_OUT: Final = "audit_left_out"
"""The event that says how many entries could not be kept."""
SEGMENT: Final = "audit_segment"
"""The event that stands for the beginning of a chain that retention has removed."""

TABLE: Final[dict[type[events.Event], tuple[Kind, str]]] = {
    events.Connected: ("decision", "sess_created"),
    events.Renewed: ("decision", "sess_renewed"),
    events.RightsChanged: ("decision", "authz_change"),
    events.Expired: ("decision", "sess_expired"),
    events.Closed: ("decision", "sess_ended"),
    events.HandshakeRefused: ("decision", "authn_login_fail"),
    events.RenewalRefused: ("decision", "authn_login_fail"),
    events.MessageRefused: ("decision", "input_validation_fail"),
    events.RequestRefused: ("decision", "authn_login_fail"),
    events.TicketIssued: ("decision", "authn_token_created"),
    events.LoginFailed: ("decision", "authn_login_fail"),
    events.Noticed: ("decision", "excess_rate_limit_exceeded"),
    events.LoggedIn: ("change", "authn_login_success"),
    events.TokenReused: ("change", "authn_token_reuse"),
    events.SessionEnded: ("change", "sess_ended"),
    events.PasswordChanged: ("change", "authn_password_change"),
    events.UserChanged: ("change", "user_updated"),
    events.KeysChanged: ("change", "authz_admin"),
    events.BlockChanged: ("change", "authz_admin"),
    events.Revoked: ("change", "authn_token_revoked"),
    events.Disconnected: ("change", "authz_admin"),
}
"""Event -> its class and its name in the OWASP logging vocabulary, where neither its code nor `what` says more."""

_CODES: Final = {
    "permission_denied": "authz_fail",
    "rights_changed": "authz_fail",
    "step_up_required": "authz_fail",
    "identity_mismatch": "authz_fail",
    "origin_denied": "authz_fail",
    "csrf_failed": "authz_fail",
    "account_locked": "authn_login_lock",
    "rate_limited": "excess_rate_limit_exceeded",
    "too_many_connections": "excess_rate_limit_exceeded",
    "too_many_attempts": "authn_login_fail_max",
    "address_blocked": "excess_rate_limit_exceeded",
    "token_revoked": "sess_use_after_expire",
    "session_revoked": "sess_use_after_expire",
    "message_invalid": "input_validation_fail",
    "message_too_large": "input_validation_fail",
    "message_unsupported": "input_validation_fail",
    "request_invalid": "input_validation_fail",
    "unavailable": "sys_unavailable",
    "upstream_unavailable": "sys_unavailable",
    "draining": "sys_shutdown",
}
_CHANGES: Final = {"added": "user_created", "removed": "user_deleted", "rights": "authz_change"}
_NOTICES: Final = {
    "login_failures": "authn_login_fail_max",
    "many_accounts": "authn_login_fail_max",
    "token_reuse": "authn_token_reuse",
    "second_network": "authn_impossible_travel",
    "bad_messages": "input_validation_fail",
}
_NO_TEXT: Final = (None, "", ())


class Head(msgspec.Struct, frozen=True):
    """Say how far a chain goes.

    Attributes:
        chain: which.
        number: of its last entry.
        tag: of that entry, hexadecimal.
        signature: proves that we said so, hexadecimal.
    """

    chain: str
    number: int
    tag: str
    signature: str

    def is_good(self, sign: Sign) -> bool:
        """Tell whether the key that `sign` uses has signed it."""
        return compare_digest(self.signature, sign(_head(self.chain, self.number, self.tag)).hex())


class Row(msgspec.Struct, frozen=True):
    """Be one entry in its place.

    Attributes:
        chain: whose entry it is: one process and one file.
        number: its place there, from 1.
        at: seconds since the epoch.
        event: its name.
        tag: hexadecimal.
        entry: JSON, byte for byte what the tag was made of.
    """

    chain: str
    number: int
    at: float
    event: str
    tag: str
    entry: msgspec.Raw


class Chain:
    """Add entries to a chain.

    Args:
        chain: its id.
        sign: returns the MAC of bytes.
        number: of the last entry.
        tag: of the last entry; empty at the beginning.
    """

    def __init__(self, chain: str, sign: Sign, number: int = 0, tag: str = "") -> None:
        self.id = chain
        self.number = number
        self.tag = tag
        self._sign = sign

    def link(self, at: float, event: str, entry: bytes) -> Row:
        """Return an entry in the next place."""
        self.tag = _tag(self._sign, self.id, self.tag, entry)
        self.number += 1
        return Row(self.id, self.number, at, event, self.tag, msgspec.Raw(entry))

    def head(self) -> Head:
        """Return how far it goes."""
        return Head(self.id, self.number, self.tag, self._sign(_head(self.id, self.number, self.tag)).hex())


def _tag(sign: Sign, chain: str, before: str, entry: bytes) -> str:
    return sign(b"entry\0" + (before or chain).encode() + b"\0" + entry).hex()


def _head(chain: str, number: int, tag: str) -> bytes:
    return f"head\0{chain}\0{number}\0{tag}".encode()


def segment_of(last: Row, sign: Sign) -> Row:
    """Return what stands for a chain's beginning up to this entry, once that is removed: it keeps the tag."""
    signature = sign(b"segment" + _head(last.chain, last.number, last.tag)).hex()
    entry = {"at": last.at, "event": SEGMENT, "removed_up_to": last.number, "signature": signature}
    return Row(last.chain, last.number, last.at, SEGMENT, last.tag, msgspec.Raw(msgspec.json.encode(entry)))


def name_of(event: events.Event) -> str:
    """Return an event's name in the OWASP logging vocabulary."""
    name = TABLE[type(event)][1]
    if isinstance(event, events.UserChanged):
        return _CHANGES.get(event.what, name)
    if isinstance(event, events.Noticed):
        return _NOTICES.get(event.what, name)
    if isinstance(event, events.RefusalEvent | events.RequestRefused | events.LoginFailed):
        return _CODES.get(event.code, name)
    return name


def entry_of(event: events.Event, node: str, count: int = 1) -> dict[str, Any]:
    """Return an event as the audit log has it: only what it has, and of a token only what names it.

    Args:
        event: what happened.
        node: the process's id.
        count: how many equal ones this one stands for.
    """
    entry: dict[str, Any] = {"at": event.at, "event": name_of(event), "kind": type(event).__name__, "node": node}
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if field == "about":
            found = {"connection_id": value.connection_id, "address": value.address, "path": value.path}
        elif field == "identity":
            known = value is not None and value.is_authenticated
            found = _identity(value) if known else {}
        else:
            found = {"reason" if field == "explanation" else field: value}
        entry.update((name, text) for name, text in found.items() if text not in _NO_TEXT)
    if count > 1:
        entry["count"] = count
    return entry


def _identity(identity: Any) -> dict[str, Any]:
    return {"subject": identity.subject, "issuer": identity.issuer, "session_id": identity.session_id}


def check(rows: Iterable[Row], heads: Mapping[str, Iterable[Head]], sign: Sign) -> list[str]:
    """Return everything that is wrong, with its place; empty where nothing is.

    Args:
        rows: those of a chain in order of their numbers, chain after chain.
        heads: what is known of how far chains go, from wherever.
        sign: returns the MAC of bytes.
    """
    found: list[str] = []
    ends: dict[str, int] = {}
    passed: dict[tuple[str, int], str] = {}
    asked = {(head.chain, head.number) for each in heads.values() for head in each}
    before: Row | None = None
    for row in rows:
        if before is None or before.chain != row.chain:
            before = None
        problem = _problem(row, before, sign)
        if problem:
            found.append(f"chain {row.chain}, entry {row.number}: {problem}")
        ends[row.chain] = row.number
        if (row.chain, row.number) in asked:
            passed[row.chain, row.number] = row.tag
        if row.event == SEGMENT:
            # What is older than this was removed in order.
            passed.update({place: "" for place in asked if place[0] == row.chain and place[1] < row.number})
        before = row
    for head in (head for each in heads.values() for head in each):
        found += _cut(head, ends.get(head.chain, 0), passed.get((head.chain, head.number)), sign)
    return list(dict.fromkeys(found))


def _problem(row: Row, before: Row | None, sign: Sign) -> str:
    entry = bytes(row.entry)
    if before is None and row.event == SEGMENT:
        good = entry == bytes(segment_of(row, sign).entry)
        return "" if good else "the mark of what retention removed was not made by wsauth"
    number = before.number if before is not None else 0
    if row.number != number + 1:
        missing = f"{number + 1} to {row.number - 1}" if row.number - number > 2 else f"{number + 1}"
        return f"before it {missing} is missing"
    if not compare_digest(row.tag, _tag(sign, row.chain, before.tag if before is not None else "", entry)):
        return "it was changed, moved or put in"
    try:
        told = msgspec.json.decode(entry)
    except msgspec.DecodeError:
        return "it is no JSON"
    if (told.get("at"), told.get("event")) != (row.at, row.event):
        return "its time or name beside the entry was changed"
    return ""


def _cut(head: Head, end: int, tag: str | None, sign: Sign) -> list[str]:
    place = f"chain {head.chain}, entry {head.number}"
    if not head.is_good(sign):
        return [f"{place}: a head that names it was not signed by wsauth with this key file"]
    if end < head.number:
        return [f"chain {head.chain}, after entry {end}: the end is cut off; the chain goes to {head.number}"]
    if tag is not None and tag not in ("", head.tag):
        return [f"{place}: it is another one than its head says"]
    return []
