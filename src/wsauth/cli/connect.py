"""`wsauth connect`: an authenticated client in the terminal."""

import asyncio
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from wsauth.cli.options import config_option
from wsauth.cli.secret import ask
from wsauth.cli.typed import Lines

__all__ = ["connect"]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@click.command
@click.argument("url")
@click.option("--user", metavar="NAME", help="Sign in with a password, which is asked for.")
@click.option("--password-stdin", is_flag=True, help="The password of --user is the first line of standard input.")
@click.option("--token-stdin", is_flag=True, help="The first line of standard input is an access token or an API key.")
@click.option("--ticket-stdin", is_flag=True, help="The first line of standard input is a ticket.")
@config_option
def connect(
    url: str, *, user: str | None, password_stdin: bool, token_stdin: bool, ticket_stdin: bool, config: Path | None
) -> int:
    """Connect to the WebSocket URL.

    Lines of standard input are sent, messages are printed, and what the server says about the login is printed to
    standard error. The end of a file or pipe leaves the connection open; Ctrl-D and Ctrl-C close it.
    """
    from wsauth.cli.conversation import Conversation
    from wsauth.cli.login import Login

    if sum((user is not None, token_stdin, ticket_stdin)) > 1:
        raise click.UsageError("give one of --user, --token-stdin and --ticket-stdin")
    if password_stdin and user is None:
        raise click.UsageError("--password-stdin goes with --user NAME")
    kind = "password" if user is not None else "token" if token_stdin else "ticket" if ticket_stdin else ""
    _check_url(url, private=user is not None)
    lines = Lines()
    piped = password_stdin or token_stdin or ticket_stdin
    login = Login(url, kind, _secret(kind, lines, piped=piped), user or "") if kind else None
    return asyncio.run(Conversation(url, login, lines).run())


def _check_url(url: str, *, private: bool) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
        good = good and parts.username is None and not parts.fragment
    except ValueError:
        parts, good = urlsplit(""), False
    if not good:
        raise click.UsageError("URL: write ws://HOST:PORT/PATH or wss://HOST/PATH, without user and password")
    if private and parts.scheme == "ws" and parts.hostname not in _LOOPBACK:
        raise click.UsageError("URL: over ws:// everybody on the way reads the password; write wss://")


def _secret(kind: str, lines: Lines, *, piped: bool) -> str:
    if not piped or sys.stdin.isatty():
        return ask(kind)
    secret = lines.first()
    if not secret:
        raise click.UsageError(f"standard input: the first line is not the {kind}; write it there")
    return secret
