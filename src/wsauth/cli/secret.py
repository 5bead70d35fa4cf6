"""Secrets never stand on the command line, where `ps` and the shell's history show them (ASVS 13.3.1)."""

import sys
from typing import Final

import click

__all__ = ["ask", "choose", "read_all"]

_LONGEST: Final = 65_536
"""Bytes; no secret is longer."""


def choose(what: str, *, from_stdin: bool) -> str:
    """Return a new secret: from standard input, or asked for twice without echo."""
    if from_stdin and not sys.stdin.isatty():
        return read_all(what)
    _check_terminal(what)
    chosen: str = click.prompt(what.capitalize(), hide_input=True, confirmation_prompt=True, err=True)
    return chosen


def ask(what: str) -> str:
    """Return a secret that somebody knows, asked for once without echo."""
    _check_terminal(what)
    answered: str = click.prompt(what.capitalize(), hide_input=True, err=True)
    return answered


def read_all(what: str) -> str:
    """Return the one line on standard input, without its end; on a terminal it is asked for without echo.

    Raises:
        UsageError: there is none, or more than one, or it is no UTF-8.
    """
    if sys.stdin.isatty():
        return ask(what)
    raw = sys.stdin.buffer.read(_LONGEST + 1)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"standard input: the {what} is not UTF-8; encode it as UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(raw) > _LONGEST or "\n" in text:
        raise click.UsageError(f"standard input: not the {what}; write it as the only line")
    return text


def _check_terminal(what: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"the {what} is missing: pass it to --password-stdin, or run this on a terminal")
