"""Which messages a client may send, and as whom: one rule for each type of message, and no for all others."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from wsauth.core.identity import Identity
from wsauth.core.permissions import RESERVED, Permissions
from wsauth.core.rules.reading import Limits, check_limits, collides, is_plain, read
from wsauth.core.step_up import check_login
from wsauth.core.throttling import Rate
from wsauth.errors import ConfigurationError, Refused, StepUpRequired

__all__ = ["MessageRefused", "MessageRule", "Rules", "is_in_rate"]

_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_IDENTITY: Final = frozenset({"subject", "issuer", "session_id"})
_PATH: Final = re.compile(r"[^.{}]+(?:\.[^.{}]+)*")
_LARGEST: Final = 2**53 - 1
"""Up to which every reader of JSON takes an integer for the same (RFC 8259 section 6)."""

Schema = Callable[[Any], str | None]
"""Returns what is wrong with a value, by its place and the rule that it breaks, never by itself; `None`: nothing."""


class MessageRefused(Refused):
    """Say no to one message; the connection stays open.

    Args:
        code: of the refusal table.
        detail: for the client: which field, and what is wrong with it.
    """

    def __init__(self, code: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, detail, retry_after=retry_after)
        self.detail = detail


class MessageRule(msgspec.Struct, frozen=True, kw_only=True):
    """Say what one type of message needs.

    Attributes:
        permission: the name that is needed; `{room}` stands for the message's own field, by its dotted path.
        schema: looks at the whole message; `None`: it may be of any shape.
        set: field → text, with `{subject}`, `{issuer}` and `{session_id}` of the sender: written over what was sent.
        demand: the same, but what was sent has to be that.
        limits: of size, depth and elements; `None`: those of all.
        rate: how many a connection may send.
        max_age, acr: as `Connection.require_login` has them, in seconds.
    """

    permission: str = ""
    schema: Schema | None = None
    set: Mapping[str, str] = {}
    demand: Mapping[str, str] = {}
    limits: Limits | None = None
    rate: Rate | None = None
    max_age: float | None = None
    acr: tuple[str, ...] = ()


class Rules:
    """Judge the messages of clients.

    Args:
        messages: type → its rule.
        member: which member of a message is its type.
        limits: of every message.
        unknown_passes: types that have no rule pass; else they are refused.

    Raises:
        ConfigurationError: a rule cannot be meant.
    """

    def __init__(
        self, messages: Mapping[str, MessageRule], *, member: str, limits: Limits, unknown_passes: bool = False
    ) -> None:
        self._messages = dict(messages)
        self._member = member
        self._limits = limits
        self._unknown_passes = unknown_passes
        for name, rule in messages.items():
            _check(name, rule, member)

    def judge(
        self,
        message: str | bytes,
        identity: Identity,
        permissions: Permissions,
        now: float,
        levels: dict[str, float],
    ) -> str | bytes:
        """Return the message as it may pass.

        Args:
            message: as it came.
            identity: whose.
            permissions: that they hold now.
            now: seconds since the epoch.
            levels: of this connection: how full each type's rate is; changed here.

        Raises:
            MessageRefused: it may not.
        """
        if isinstance(message, bytes):
            raise MessageRefused("message_unsupported", "only JSON texts are taken here")
        content = self._read(message)
        _check_names(content)
        name = content.get(self._member)
        if not isinstance(name, str):
            raise MessageRefused("message_invalid", f"{self._member}: is missing, or no text")
        rule = self._messages.get(name)
        if rule is None:
            if self._unknown_passes:
                return message
            raise MessageRefused("message_invalid", f"{self._member}: there is no such type of message")
        if rule.limits is not None:
            self._check_limits(message, rule.limits)
        _check_rate(rule.rate, name, now, levels)
        changed = _attributed(rule, content, identity)
        if changed:
            _check_names(content)
        if rule.schema is not None and (wrong := rule.schema(content)) is not None:
            raise MessageRefused("message_invalid", wrong)
        if rule.permission and not permissions.allow(_permission(rule.permission, content)):
            raise MessageRefused("permission_denied", f"{rule.permission} is required")
        try:
            check_login(identity, now, max_age=rule.max_age, acr=rule.acr)
        except StepUpRequired as error:
            raise MessageRefused(error.code, error.needed) from None
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")) if changed else message

    def _read(self, message: str) -> dict[str, Any]:
        try:
            return read(message.encode(), self._limits)
        except UnicodeEncodeError:
            raise MessageRefused("message_invalid", "it is no Unicode text") from None
        except ValueError as error:
            raise MessageRefused("message_invalid", str(error)) from None

    def _check_limits(self, message: str, limits: Limits) -> None:
        try:
            check_limits(message.encode(), limits)
        except ValueError as error:
            raise MessageRefused("message_invalid", str(error)) from None


def _check(name: str, rule: MessageRule, member: str) -> None:
    for key, table in (("set", rule.set), ("demand", rule.demand)):
        for field, text in table.items():
            unknown = set(_PLACE.findall(text)) - _IDENTITY
            if unknown or not _PATH.fullmatch(field) or "." in field or field == member:
                known = ", ".join(f"{{{each}}}" for each in sorted(_IDENTITY))
                raise ConfigurationError(f"{name}.{key}.{field}: a member, not its type, and a text with {known}")
    for segment in rule.permission.split(":") if rule.permission else ():
        place = segment[1:-1] if segment.startswith("{") and segment.endswith("}") else None
        good = bool(segment) and not set("*{}") & set(segment) if place is None else _PATH.fullmatch(place)
        if not good or rule.permission.startswith(RESERVED):
            raise ConfigurationError(f"{name}.permission = {rule.permission!r} is no name: write chat:{{room}}:send")
        if place in _IDENTITY - {*rule.set, *rule.demand}:
            raise ConfigurationError(
                f"{name}.permission: {{{place}}} is what the client says; set or demand it as well"
            )


def is_in_rate(rate: Rate, name: str, now: float, levels: dict[str, float]) -> bool:
    """Count one more of a name, and tell whether that is within the rate.

    Args:
        rate: how often.
        name: of what.
        now: seconds since the epoch.
        levels: name -> when what was counted is forgotten (a leaky bucket); changed where it is within the rate.
    """
    each = rate.seconds / rate.count
    forgotten = max(levels.get(name, now), now) + each
    if forgotten > now + rate.seconds:
        return False
    levels[name] = forgotten
    return True


def _check_names(content: dict[str, Any]) -> None:
    if collides(content):
        raise MessageRefused("message_invalid", "it has two members whose names differ in case or form only")


def _check_rate(rate: Rate | None, name: str, now: float, levels: dict[str, float]) -> None:
    if rate is not None and not is_in_rate(rate, name, now, levels):
        wait = levels[name] + rate.seconds / rate.count - now - rate.seconds
        raise MessageRefused("rate_limited", f"more than {rate} of this type", retry_after=wait)


def _attributed(rule: MessageRule, content: dict[str, Any], identity: Identity) -> bool:
    """Write who says it, and look at what must be so; tells whether something was changed."""
    changed = False
    for field, text in rule.demand.items():
        if content.get(field) != _of(identity, text, field):
            raise MessageRefused("permission_denied", f"{field}: is not the sender's own")
    for field, text in rule.set.items():
        wanted = _of(identity, text, field)
        if content.get(field) != wanted:
            content[field] = wanted
            changed = True
    return changed


def _of(identity: Identity, text: str, field: str) -> str:
    def value(found: re.Match[str]) -> str:
        stands = getattr(identity, found[1])
        if not stands:
            raise MessageRefused("permission_denied", f"{field}: the sender has no {found[1]}")
        return str(stands)

    return _PLACE.sub(value, text)


def _permission(template: str, content: Mapping[str, Any]) -> str:
    """Return the permission's name with the values of the message, each of which is one segment and means one thing."""

    def value(found: re.Match[str]) -> str:
        stands: Any = content
        for name in found[1].split("."):
            stands = stands.get(name) if isinstance(stands, dict) else None
        if type(stands) is int and abs(stands) <= _LARGEST:
            return str(stands)
        if not isinstance(stands, str) or not is_plain(stands):
            raise MessageRefused("message_invalid", f"{found[1]}: is missing, or no plain name")
        return stands

    return _PLACE.sub(value, template)
