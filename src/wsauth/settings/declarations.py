"""The declarations as data: what the environment, the errors, the template and the reference are made from."""

import json
from collections.abc import Collection, Iterator
from functools import reduce
from types import UnionType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wsauth.settings.keys import HIDDEN, Kind
from wsauth.settings.settings import Settings
from wsauth.settings.sources import Place

__all__ = ["field_at", "is_secret", "key_at", "kind", "known", "listed", "tables", "toml", "type_at", "written"]

_KINDS: Final[dict[Any, str]] = {bool: "true or false", int: "whole number", str: "text"}


def tables() -> Iterator[tuple[str, FieldInfo, type[BaseModel] | None]]:
    """Return name, declaration and model of each table; `roles` has no model, since its keys are the user's."""
    for name, field in Settings.model_fields.items():
        entry: Any = next(iter(get_args(field.annotation)), field.annotation)
        yield name, field, entry if _is_model(entry) else None


def type_at(place: Place) -> Any:
    """Return the type that is declared at a place; None where nothing is."""
    return reduce(_inside, place, Settings)


def key_at(place: Place) -> tuple[str, FieldInfo] | None:
    """Return name and declaration of the innermost key on the way to a place; None where there is no key."""
    found, outer = None, Settings
    for part in place:
        if _is_model(outer):
            field = outer.model_fields.get(str(part))
            found = None if field is None else (str(part), field)
        outer = _inside(outer, part)
    return found


def field_at(place: Place) -> FieldInfo | None:
    """Return the declaration of the innermost key on the way to a place; None where there is no key."""
    found = key_at(place)
    return None if found is None else found[1]


def listed(declared: Any) -> Any:
    """Return the type of list that may stand where this type is declared; None where no list may."""
    choices = (declared, *get_args(declared)) if get_origin(declared) is UnionType else (declared,)
    return next((choice for choice in choices if get_origin(choice) is tuple), None)


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


def written(name: str, field: FieldInfo, *, example: bool = False) -> str:
    """Return a key and its default as a line of the file; an example where there is no default, or one is asked for."""
    value = field.examples[0] if field.examples and (example or field.is_required()) else field.get_default()
    return f"{name} = {toml(value)}"


def toml(value: Any) -> str:
    """Return a text, number, truth value, list or table of them in TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(name)} = {toml(entry)}' for name, entry in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.isascii() and name.isidentifier() else toml(name)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inside(outer: Any, part: str | int) -> Any:
    if _is_model(outer):
        field = outer.model_fields.get(str(part))
        return None if field is None else field.annotation
    if isinstance(part, int) and (several := listed(outer)) is not None:
        return _bare(get_args(several)[0])
    return _bare(get_args(outer)[1]) if get_origin(outer) is dict else None


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
