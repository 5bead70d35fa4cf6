"""Draw docs/reference/configuration.md from the declarations in wsauth.settings.

Usage: python scripts/draw_settings.py [--check]. With `--check` nothing is written, and the exit status says whether
the page is up to date.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wsauth.settings.declarations import is_secret, kind, listed, tables, toml
from wsauth.settings.later import KEYS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "configuration.md"

INTRODUCTION = (
    "`wsauth serve` and every other command read `./wsauth.toml` if it is there, or the file that `--config` or "
    "`WSAUTH_CONFIG` names. Nothing has to be written: without a file the defaults below hold. `wsauth init` writes a "
    "file with all of them, commented out. `wsauth check` reads a file, says in one line what is wrong with it, and "
    "warns of what is allowed and unsafe. What the command line says counts most, then the environment, then the file."
)
ENVIRONMENT = (
    "**Environment.** `WSAUTH__`, the table, `__`, the key, in capitals: `WSAUTH__SERVER__PORT=9000`. The entries of a "
    "list have numbers: `WSAUTH__ROUTES__0__PATH=/ws`; number 0 is the first of the file, or the default one, and the "
    "number after the last makes a new one. A list of texts is written with commas, "
    "`WSAUTH__SERVER__ORIGINS=https://a.example,https://b.example`, or as in the file; so are tables, "
    '`WSAUTH__ROUTES__0__FORWARD_CLAIMS={email = "X-Wsauth-Email"}`. What may hold a secret can come from a file, '
    "which a variable with `_FILE` at its end names: SECRETS."
)
VALUES = (
    '**Values.** Durations are texts such as `"500ms"`, `"10s"`, `"5m"`, `"24h"`, `"7d"`, or a number of seconds. '
    'Sizes are texts such as `"64KiB"`, `"1MiB"`, or a number of bytes. `""` or `0` is off, where the type does not '
    "say otherwise. A relative path is relative to the configuration file; without one, to the working directory. The "
    "paths in `--store` and `--upstream` are always relative to the working directory."
)
PARAGRAPHS = (
    "# Configuration",
    "<!-- Drawn by scripts/draw_settings.py from src/wsauth/settings. Change the declarations, not this page. -->",
    INTRODUCTION,
    ENVIRONMENT,
    VALUES,
    "A key, a table or a variable with `WSAUTH__` that is not on this page is an error.",
)


def page() -> str:
    """Return the whole page."""
    return "\n".join([*_head(), *_tables(), *_later()]) + "\n"


def _head() -> Iterator[str]:
    secrets = ", ".join(_from_files())
    yield from (paragraph.replace("SECRETS", secrets) + "\n" for paragraph in PARAGRAPHS)


def _tables() -> Iterator[str]:
    for name, field, model in tables():
        yield f"## `{f'[[{name}]]' if listed(field.annotation) else f'[{name}]'}`\n"
        yield f"{_cell(field.description or '')}\n"
        for example in field.examples or ():
            yield "\n".join(["```toml", f"[{name}]", *(f"{key} = {toml(value)}" for key, value in example.items())])
            yield "```\n"
        if model:
            yield _table(model)
        for inner, declared, entry in _nested(model):
            yield f"### `[[{name}.{inner}]]`\n"
            yield f"{_cell(declared.description or '')}\n"
            yield _table(entry)


def _table(model: type[BaseModel]) -> str:
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *_rows(model)]) + "\n"


def _nested(model: type[BaseModel] | None) -> Iterator[tuple[str, FieldInfo, type[BaseModel]]]:
    """Return the keys of a table that are lists of tables themselves."""
    for name, field in model.model_fields.items() if model else ():
        entry = next(iter(get_args(field.annotation)), None)
        if isinstance(entry, type) and issubclass(entry, BaseModel):
            yield name, field, entry


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_cell(kind(field))} | {_default(field)} | {_cell(field.description or '')} |"


def _default(field: FieldInfo) -> str:
    return "must be written" if field.is_required() else f"`{toml(field.get_default())}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _from_files() -> Iterator[str]:
    for table, _, model in tables():
        for name, field in model.model_fields.items() if model else ():
            if is_secret(field):
                yield f"`WSAUTH__{table}__{name}_FILE`".upper()
        for name, _, entry in _nested(model):
            secrets = (inner for inner, field in entry.model_fields.items() if is_secret(field))
            yield from (f"`WSAUTH__{table}__{name}__0__{inner}_FILE`".upper() for inner in secrets)


def _later() -> Iterator[str]:
    yield "## Not in this release\n"
    yield (
        "wsauth refuses to start with these, so that nobody counts on them: PostgreSQL, and these keys, unless they "
        "have the value that stands here:\n"
    )
    for table, keys in KEYS.items():
        listed = (f"`{name} = {toml(value)}`" for name, value in keys.items())
        yield f"- `{table}`: {', '.join(listed)}"


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    fresh = page()
    if "--check" in arguments:
        stale = not PAGE.exists() or PAGE.read_text("utf-8") != fresh
        if stale:
            print(f"{PAGE} is out of date: run python scripts/draw_settings.py", file=sys.stderr)
        return int(stale)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
