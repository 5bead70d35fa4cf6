"""What a key of the configuration is made of: its type, how it is written, its default and its meaning."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from wsauth.core.origins import ANY, Origins
from wsauth.core.units import seconds, size

__all__ = [
    "HIDDEN",
    "Duration",
    "File",
    "Kind",
    "Names",
    "NeededDuration",
    "NeededSize",
    "Pages",
    "Table",
    "WrittenDuration",
    "WrittenNeededDuration",
    "WrittenSize",
    "key",
    "placed",
]

HIDDEN: Final = "hidden"
"""Marks a key whose value may hold a secret: it is never shown, and may come from a file."""


class Table(BaseModel):
    """Be a table of the configuration: frozen, and without a key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


@dataclass(frozen=True)
class Kind:
    """Say in the reference how a value is written, where its Python type does not."""

    name: str


def key(
    default: Any,
    meaning: str,
    *,
    example: Any = None,
    secret: bool = False,
    ge: int | None = None,
    le: int | None = None,
) -> Any:
    """Declare a key.

    Args:
        default: as it is written in the file; `...` where it must be written.
        meaning: for people who configure; the template and the reference show it.
        example: what to write where there is no default.
        secret: whether the value may hold a secret.
        ge: the least number.
        le: the greatest number.
    """
    examples = None if example is None else [example]
    extra: dict[str, Any] | None = {HIDDEN: True} if secret else None
    return Field(default=default, description=meaning, examples=examples, json_schema_extra=extra, ge=ge, le=le)


def placed(value: str, info: ValidationInfo) -> str:
    """Return a path as seen from the folder of the configuration file (else from the working directory)."""
    if not value.isprintable() or "-----BEGIN" in value:
        # The value is not shown: this may be the key itself.
        raise ValueError("a path is meant, not what stands in the file")
    return str(Path(info.context["folder"], value)) if value and info.context else value


def _seconds(value: Any, info: ValidationInfo) -> float:
    return seconds(value, info.field_name or "")


def _size(value: Any, info: ValidationInfo) -> int:
    return size(value, info.field_name or "")


def _written_seconds(value: Any, info: ValidationInfo) -> Any:
    _seconds(value, info)
    return value


def _written_size(value: Any, info: ValidationInfo) -> Any:
    _size(value, info)
    return value


def _on(value: float, info: ValidationInfo) -> float:
    if not value:
        raise ValueError(f"{info.field_name} cannot be off")
    return value


def _written_on(value: Any, info: ValidationInfo) -> Any:
    _on(_seconds(value, info), info)
    return value


def _pages(value: tuple[str, ...]) -> tuple[str, ...]:
    if any("@" in entry for entry in value):
        raise ValueError("an origin has no user and no password; write scheme://host")
    Origins(entry for entry in value if entry != ANY)
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Kind("duration")]
"""Seconds; 0.0 is off."""
NeededDuration = Annotated[float, AfterValidator(_on), BeforeValidator(_seconds), Kind("duration, not off")]
NeededSize = Annotated[int, AfterValidator(_on), BeforeValidator(_size), Kind("size, not off")]
"""Bytes."""

# Routes hand these on as written, since a guard's Route reads them itself.
WrittenDuration = Annotated[str | int | float, BeforeValidator(_written_seconds), Kind("duration")]
WrittenNeededDuration = Annotated[str | int | float, BeforeValidator(_written_on), Kind("duration, not off")]
WrittenSize = Annotated[str | int, BeforeValidator(_written_size), Kind("size")]

File = Annotated[str, AfterValidator(placed), Kind("file")]
"""An absolute path once loaded; empty: none."""
Names = Annotated[tuple[str, ...], Kind("list of texts")]
Pages = Annotated[tuple[str, ...], AfterValidator(_pages), Kind("list of origins")]
