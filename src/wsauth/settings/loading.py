"""Read the configuration: the file, over it the environment, over that the command line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from wsauth.errors import ConfigurationError
from wsauth.settings.declarations import listed, tables
from wsauth.settings.environment import overlay, override
from wsauth.settings.later import settle
from wsauth.settings.safety import refuse
from wsauth.settings.settings import DEFAULT_ROUTES, Settings
from wsauth.settings.sources import Problem, Sources
from wsauth.settings.wording import problem

__all__ = ["load", "located"]

_DEFAULT: Final = "wsauth.toml"


def load(path: Path | None, environ: Mapping[str, str], options: Mapping[str, object] | None = None) -> Settings:
    """Return the configuration, checked.

    Args:
        path: the file. None: `WSAUTH_CONFIG`, else `./wsauth.toml` if it is there.
        environ: the environment.
        options: `host`, `port`, `upstream`, `store`, `workers` of the command line; None is one that was not given.

    Raises:
        ConfigurationError: in one line: what is wrong, in which file or variable and key, and the mend.
    """
    file = located(path, environ)
    data = _read(file) if file else {}
    sources = Sources(file)
    if data.get("routes", []) == []:
        data["routes"] = [dict(route) for route in DEFAULT_ROUTES]
    overlay(data, environ, sources)
    override(data, options or {}, sources)
    try:
        settle(data)
        settings = _validated(data, file.parent if file else Path.cwd())
        refuse(settings)
    except Problem as wrong:
        line = " ".join(f"{sources.of(wrong.place)}: {wrong.text}".split())
        raise ConfigurationError(line) from None
    return settings


def located(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file that `load` reads; None where there is none."""
    if path is None and environ.get("WSAUTH_CONFIG"):
        path = Path(environ["WSAUTH_CONFIG"])
    if path is None and Path(_DEFAULT).exists():
        path = Path(_DEFAULT)
    return path.absolute() if path else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file}: not TOML: {error}; mend that line") from None
    except ValueError:
        raise ConfigurationError(f"{file}: not TOML: a number is too long; write a shorter one") from None
    except OSError as error:
        raise ConfigurationError(
            f"{file}: {error.strerror or 'it cannot be read'}; name a file that is there, or write one: wsauth init"
        ) from None


def _validated(data: dict[str, Any], folder: Path) -> Settings:
    empty: dict[str, Any] = {name: {} for name, field, model in tables() if model and not listed(field.annotation)}
    try:
        return Settings.model_validate(empty | data, context={"folder": folder})
    except ValidationError as error:
        raise problem(error.errors(include_url=False)[0]) from None
