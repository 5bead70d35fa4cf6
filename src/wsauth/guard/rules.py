"""Message rules as they are written: a TOML file, or Python types that msgspec or pydantic know."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from wsauth.core.rules.reading import Limits
from wsauth.core.rules.rules import MessageRule, Rules
from wsauth.core.throttling import rate
from wsauth.core.units import seconds, size
from wsauth.errors import ConfigurationError
from wsauth.services.schemas import compiled

__all__ = ["message_rules", "rules_of"]

_DEPTH: Final = 16
_ITEMS: Final = 1_000
_MOST: Final = Limits(size=1 << 62, depth=32, items=1_000_000)
_TOP: Final = frozenset({"member", "unknown", "max_size", "max_depth", "max_items", "messages"})
_RULE: Final = frozenset(
    {"permission", "schema", "set", "demand", "max_size", "max_depth", "max_items", "rate", "max_age", "acr"}
)


def rules_of(written: Rules | str | Path | Mapping[str, Any]) -> Rules | None:
    """Return the rules that a route names: rules, the path of a file, or its content; nothing for an empty text.

    Raises:
        ConfigurationError: they cannot be read, or cannot be meant.
    """
    if isinstance(written, Rules):
        return written
    if isinstance(written, Mapping):
        return message_rules(written)
    if not str(written):
        return None
    path = Path(written)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"message_rules: {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"message_rules: {path}: {error}") from None
    return message_rules(content, path)


def message_rules(content: Mapping[str, Any], file: Path | None = None) -> Rules:
    """Return the rules that a table says, as docs/reference/message-rules.md has it.

    Args:
        content: the table; a `schema` may also be a msgspec struct or a pydantic model.
        file: where it stands: schema files are beside it.

    Raises:
        ConfigurationError: they cannot be meant.
    """
    name = str(file or "message_rules")
    _check_keys(content, _TOP, name)
    messages = content.get("messages", {})
    if not isinstance(messages, Mapping) or not all(isinstance(each, Mapping) for each in messages.values()):
        raise ConfigurationError(f"{name}: [messages.TYPE] is a table for each type of message")
    unknown = content.get("unknown", "refuse")
    if unknown not in ("refuse", "pass"):
        raise ConfigurationError(f'{name}: unknown = {unknown!r}: write "refuse" or "pass"')
    limits = _limits(content, Limits(size=1 << 62, depth=_DEPTH, items=_ITEMS), name, most=_MOST)
    rules = {kind: _rule(rule, limits, f"{name}: messages.{kind}", file) for kind, rule in messages.items()}
    member = _text(content, "member", "type", name)
    try:
        return Rules(rules, member=member, limits=limits, unknown_passes=unknown == "pass")
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: messages.{error}") from None


def _rule(rule: Mapping[str, Any], limits: Limits, name: str, file: Path | None) -> MessageRule:
    _check_keys(rule, _RULE, name)
    own = {"max_size", "max_depth", "max_items"} & set(rule)
    schema, age, acr = rule.get("schema"), rule.get("max_age"), rule.get("acr", ())
    if not isinstance(acr, list | tuple) or not all(isinstance(each, str) for each in acr):
        raise ConfigurationError(f'{name}.acr is a list of names: write acr = ["…"]')
    return MessageRule(
        permission=_text(rule, "permission", "", name),
        schema=None if schema is None else compiled(_schema(schema, name, file), f"{name}.schema"),
        set=_texts(rule, "set", name),
        demand=_texts(rule, "demand", name),
        limits=_limits(rule, limits, name) if own else None,
        rate=rate(_text(rule, "rate", "", name), f"{name}.rate"),
        max_age=None if age is None else seconds(age, f"{name}.max_age"),
        acr=tuple(acr),
    )


def _schema(schema: Any, name: str, file: Path | None) -> Mapping[str, Any]:
    """Return a schema: as it is written, from a file beside the rules, or of a Python type."""
    if isinstance(schema, Mapping):
        return schema
    if isinstance(schema, str):
        path = Path(schema) if file is None else file.parent / schema
        try:
            found = msgspec.json.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigurationError(f"{name}.schema: {path}: {error}") from None
        if isinstance(found, dict):
            return found
        raise ConfigurationError(f"{name}.schema: {path}: it is no object")
    made = getattr(schema, "model_json_schema", None)
    if made is not None:
        return dict(made())
    try:
        return msgspec.json.schema(schema)
    except TypeError as error:
        raise ConfigurationError(f"{name}.schema: {error}") from None


def _limits(table: Mapping[str, Any], default: Limits, name: str, *, most: Limits | None = None) -> Limits:
    """Return the limits of a table: what it does not say is as the default; none is larger than the most."""

    def count(key: str, otherwise: int, largest: int) -> int:
        value = table.get(key, otherwise)
        if key == "max_size" and isinstance(value, str):
            value = size(value, f"{name}.max_size")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= largest:
            raise ConfigurationError(f"{name}.{key} = {value!r}: write a number from 1 to {largest}")
        return value

    most = most or default
    return Limits(
        size=count("max_size", default.size, most.size),
        depth=count("max_depth", default.depth, most.depth),
        items=count("max_items", default.items, most.items),
    )


def _text(table: Mapping[str, Any], key: str, default: str, name: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigurationError(f"{name}.{key} is a text")
    return value


def _texts(table: Mapping[str, Any], key: str, name: str) -> dict[str, str]:
    value = table.get(key, {})
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        raise ConfigurationError(f'{name}.{key} is a table of texts: write {key} = {{ from = "{{subject}}" }}')
    return dict(value)


def _check_keys(table: Mapping[str, Any], known: frozenset[str], name: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigurationError(f"{name}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
