"""The declarations as data: what the environment, the errors, the template and the reference are made from."""

import json
from collections.abc import Collection, Iterator
from functools import reduce
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wsauth.settings.keys import HIDDEN, Kind
from wsauth.settings.settings import Settings
from wsauth.settings.sources import Place

__all__ = ["field_at", "is_secret", "kind", "known", "tables", "toml", "type_at", "written"]

_KINDS: Final[dict[Any, str]] = {bool: "true or false", int: "whole number", str: "text"}


def tables() -> Iterator[tuple[str, FieldInfo, type[BaseModel] | None]]:
    """Return name, declaration and model of each table; `roles` has no model, since its keys are the user's."""
    for name, field in Settings.model_fields.items():
        entry: Any = next(iter(get_args(field.annotation)), field.annotation)
        yield name, field, entry if _is_model(entry) else None


def type_at(place: Place) -> Any:
    """Return the type that is declared at a place; None where nothing is."""
    return reduce(_inside, place, Settings)


def field_at(place: Place) -> FieldInfo | None:
    """Return the innermost key on the way to a place; None where there is no key."""
    found, outer = None, Settings
    for part in place:
        if _is_model(outer):
            found = outer.model_fields.get(str(part))
        outer = _inside(outer, part)
    return found


def known(place: Place) -> Collection[str]:
    """Return the keys of the table at a place."""
    outer = type_at(place)
    return outer.model_fields if _is_model(outer) else ()


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a key's value may hold a secret."""
    return isinstance(field.json_schema_extra, dict) and HIDDEN in field.json_schema_extra


def kind(field: FieldInfo) -> str:
    """Return in words how a key's value is written."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(field.annotation))
    named = [each.name for each in field.metadata if isinstance(each, Kind)]
    return named[-1] if named else _KINDS[field.annotation]


def written(name: str, field: FieldInfo) -> str:
    """Return a key and its default, or an example of it, as a line of the file."""
    value = field.examples[0] if field.is_required() and field.examples else field.get_default()
    return f"{name} = {toml(value)}"


def toml(value: Any) -> str:
    """Return a text, number, truth value or list of them in TOML."""
    return json.dumps(value, ensure_ascii=False)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inside(outer: Any, part: str | int) -> Any:
    if _is_model(outer):
        field = outer.model_fields.get(str(part))
        return None if field is None else field.annotation
    if get_origin(outer) is tuple and isinstance(part, int):
        return get_args(outer)[0]
    return get_args(outer)[1] if get_origin(outer) is dict else None
