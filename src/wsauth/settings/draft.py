"""The commented file that `wsauth init` writes, from the declarations."""

import textwrap
from collections.abc import Iterator
from typing import Final

from wsauth.settings.declarations import listed, tables, toml, written

__all__ = ["template"]

_HEAD: Final = (
    'The configuration of wsauth. Every key stands here with its default; take the "# " off to change one. Durations '
    'are written "30s", sizes "64KiB"; "" or 0 is off. Relative paths are relative to this file. Every key can also be '
    "set by environment: WSAUTH__SERVER__PORT=9000. wsauth check says whether all is well."
)


def template() -> str:
    """Return a file that says nothing but the defaults: prose after `## `, keys after `# `."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _prose(_HEAD)
    for name, field, model in tables():
        yield ""
        yield from _prose(field.description or "")
        yield f"# [[{name}]]" if listed(field.annotation) else f"[{name}]"
        for example in field.examples or ():
            yield from (f"##     {key} = {toml(value)}" for key, value in example.items())
        for key, declared in model.model_fields.items() if model else ():
            yield ""
            yield from _prose(declared.description or "")
            yield f"# {written(key, declared)}"


def _prose(text: str) -> Iterator[str]:
    yield from (f"## {line}" for line in textwrap.wrap(text, 96, break_on_hyphens=False, break_long_words=False))
