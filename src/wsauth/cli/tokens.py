"""`wsauth tokens`: issue one by hand, and say what one is."""

from pathlib import Path
from typing import Any

import click

from wsauth.cli.options import Opened, config_option, json_option, using
from wsauth.cli.output import moment, print_json, print_record, say, span
from wsauth.cli.secret import read_all
from wsauth.core.units import seconds
from wsauth.errors import ConfigurationError

__all__ = ["tokens"]

_MOMENTS = ("issued_at", "expires_at")


@click.group
def tokens() -> None:
    """Our own tokens: issue, inspect."""


@tokens.command
@click.option("--subject", metavar="S", required=True, help="Whose it is; the token of a user ends with their logins.")
@click.option("--ttl", metavar="TTL", default="5m", show_default=True, help="How long it lives, at most 24h.")
@click.option("--role", "roles", metavar="R", multiple=True, help="A role, in place of the user's own.")
@config_option
@json_option
def issue(subject: str, ttl: str, roles: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """Print an access token, without a session: for scripts and tests."""
    lifetime = seconds(ttl, "--ttl")

    async def work(opened: Opened) -> str:
        settings = opened.settings
        if not (settings.server.port or settings.tokens.issuer or settings.server.public_url):
            raise ConfigurationError("tokens.issuer: nobody knows it while server.port is 0; write the server's URL")
        user = await opened.local.users.find(subject)
        if user is None:
            say(f"there is no user {subject!r}; the token has what --role says, and only sessions revoke can end it")
        return opened.local.tokens.issue_by_hand(subject, ttl=lifetime, roles=roles or None, user=user)

    token = using(config, work, make=True)
    if as_json:
        print_json({"token": token, "expires_in": int(lifetime)})
        return
    say(f"good for {span(lifetime)}; whoever has it is {subject!r}")
    click.echo(token)


@tokens.command
@config_option
@json_option
def inspect(config: Path | None, as_json: bool) -> int:
    """Say what the token, ticket, cookie or API key on standard input is, and whether it is good."""
    from wsauth.cli.inspecting import inspected

    text = read_all("token").strip()

    async def work(opened: Opened) -> dict[str, Any]:
        return await inspected(text, opened)

    found = using(config, work)
    if as_json:
        print_json(found)
    else:
        times = {name: moment(found[name]) for name in _MOMENTS if found.get(name) is not None}
        print_record(found | times)
    return 0 if found["good"] else 1
