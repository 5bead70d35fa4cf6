"""`wsauth init` and `wsauth check`."""

import os
from pathlib import Path

import click

from wsauth.cli.options import config_option, json_option, settings_of
from wsauth.cli.output import print_json, say
from wsauth.errors import ConfigurationError

__all__ = ["check", "init"]


@click.command
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
def init(file: Path | None, config: Path | None) -> None:
    """Write a commented configuration to FILE, by default to ./wsauth.toml."""
    from wsauth.settings import template

    target = file or config or Path(os.environ.get("WSAUTH_CONFIG") or "wsauth.toml")
    try:
        # Secrets will stand in it, so it is its owner's from the first moment.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{target}: it is there already and stays as it is; name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{target}: {error.strerror}; name a file in a folder of yours") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(template())
    say(f"{target} was written: every key with its default. wsauth check says whether all is well.")


@click.command
@config_option
@json_option
def check(config: Path | None, as_json: bool) -> None:
    """Check a configuration: unknown keys are errors, unsafe choices are warnings."""
    from wsauth.guard.issuers import verifiers_of
    from wsauth.guard.providers import providers_of
    from wsauth.guard.rules import rules_of
    from wsauth.services.clock import SystemClock
    from wsauth.settings import warnings
    from wsauth.settings.loading import located

    settings = settings_of(config)
    file = located(config, os.environ)
    found = warnings(settings, file)
    for made_of in (verifiers_of, providers_of):
        made_of(settings, SystemClock())  # what cannot work is said now, and not at the start
    for route in settings.routes:
        rules_of(route.message_rules)
    if as_json:
        print_json({"file": str(file) if file else None, "warnings": found})
        return
    for warning in found:
        say(f"warning: {warning}")
    click.echo(f"{file or 'the defaults'}: good{f', with {len(found)} warnings' if found else ''}")
