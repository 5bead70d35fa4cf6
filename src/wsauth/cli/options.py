"""What several verbs have in common: the configuration, and the store that it names."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsauth.errors import ConfigurationError

if TYPE_CHECKING:
    from wsauth.guard.backend import Backend
    from wsauth.guard.local import Local
    from wsauth.settings import Settings

__all__ = ["Opened", "config_option", "json_option", "settings_of", "using"]

_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_option(command: _Command) -> _Command:
    """Add `--config FILE`."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The configuration. Default: WSAUTH_CONFIG, else ./wsauth.toml if it is there.",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


class Opened:
    """Be the store while a command uses it.

    Attributes:
        settings: the configuration.
        backend: the store; this process does not follow its feed.
        local: our own users.
    """

    def __init__(self, settings: "Settings", backend: "Backend", local: "Local") -> None:
        self.settings = settings
        self.backend = backend
        self.local = local


def settings_of(config: Path | None, options: Mapping[str, object] | None = None) -> "Settings":
    """Return the configuration, checked.

    Raises:
        ConfigurationError: it is wrong.
    """
    from wsauth.settings import load

    return load(config, os.environ, options)


def using(config: Path | None, work: Callable[[Opened], Awaitable[_T]], *, make: bool = False) -> _T:
    """Return what is done with the store.

    Args:
        config: the configuration's file.
        work: what is done.
        make: make the store where there is none; without it, a command in the wrong folder says so.

    Raises:
        ConfigurationError: the configuration is wrong, or there is no store.
    """
    settings = settings_of(config)
    if not make and not settings.store.path.exists():
        raise ConfigurationError(
            f"store.url: there is no store at {settings.store.path.absolute()}; run wsauth serve or wsauth users add, "
            "or name the right configuration with --config"
        )
    return asyncio.run(_use(settings, work))


async def _use(settings: "Settings", work: Callable[[Opened], Awaitable[_T]]) -> _T:
    from wsauth.guard.configured import backend_of

    backend = backend_of(settings, follows=False)
    if backend.local is None:
        raise ConfigurationError("store.url: this store keeps no users")
    await backend.open()
    try:
        return await work(Opened(settings, backend, backend.local))
    finally:
        await backend.aclose()
