"""`wsauth users`: our own users and services."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from wsauth.cli.importing import add_all, read
from wsauth.cli.options import Opened, config_option, json_option, using
from wsauth.cli.output import clean, described, moment, print_json, print_record, print_report, print_table, say
from wsauth.cli.secret import choose
from wsauth.core.users import check_username

if TYPE_CHECKING:
    from wsauth.core.users import User
    from wsauth.services.connections.connections import Report

__all__ = ["users"]

_PAGE: Final = 1000
_roles = click.option("--role", "roles", metavar="R", multiple=True, help="A role; may be given several times.")
_grants = click.option(
    "--grant", "grants", metavar="G", multiple=True, help="wsauth:admin, wsauth:revoke, wsauth:tickets, wsauth:metrics."
)
_password = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group
def users() -> None:
    """Our own users and services."""


@users.command
@click.argument("name")
@_roles
@_grants
@click.option("--service", is_flag=True, help="A service, not a person: it gets an API key, printed once.")
@_password
@config_option
@json_option
def add(
    name: str,
    *,
    roles: tuple[str, ...],
    grants: tuple[str, ...],
    service: bool,
    password_stdin: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Add a user. The password is asked for, or read from standard input."""
    check_username(name)
    if service and password_stdin:
        raise click.UsageError(
            "--service and --password-stdin: a service has an API key and no password; leave one out"
        )
    password = "" if service else choose("password", from_stdin=password_stdin)

    async def work(opened: Opened) -> tuple["User", str]:
        held = opened.local.users
        if service:
            return await held.add_service(name, roles=roles, grants=grants)
        return await held.add(name, password, roles=roles, grants=grants), ""

    user, key = using(config, work, make=True)
    if as_json:
        print_json(_described(user) | ({"api_key": key} if key else {}))
        return
    say(f"{user.username} was added")
    if key:
        _print_key(key)


@users.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@json_option
def import_(file: Path, config: Path | None, as_json: bool) -> int:
    """Add users with the Argon2id or bcrypt hashes of their passwords.

    FILE holds a JSON object on each line: username, password_hash, and perhaps roles (a list) and disabled. If a line
    is wrong, all wrong lines are named and nobody is added.
    """
    entries, wrong = read(file)

    async def work(opened: Opened) -> int:
        return await add_all(entries, wrong, opened.local.users)

    added = using(config, work, make=True)
    for number in sorted(wrong):
        say(f"wsauth: {file}:{number}: {clean(wrong[number])}")
    if as_json:
        print_json({"added": added, "wrong": [{"line": number, "error": wrong[number]} for number in sorted(wrong)]})
    elif not wrong:
        click.echo(f"{added} users were added")
    return 2 if wrong else 0


@users.command(name="list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List everybody."""

    async def work(opened: Opened) -> list["User"]:
        found: list[User] = []
        while page := await opened.local.users.page(found[-1].username if found else "", _PAGE):
            found += page
        return found

    found = using(config, work)
    if as_json:
        print_json([_described(user) for user in found])
        return
    print_table(("name", "roles", "grants", "state", "since"), (_row(user) for user in found))


@users.command
@click.argument("name")
@config_option
@json_option
def show(name: str, config: Path | None, as_json: bool) -> None:
    """Show one user."""

    async def work(opened: Opened) -> tuple["User", int]:
        user = await opened.local.users.get(name)
        return user, len(await opened.local.sessions.of(user.username))

    user, count = using(config, work)
    shown = _described(user) | {"sessions": count}
    if as_json:
        print_json(shown)
        return
    until = "" if user.password_until is None else moment(user.password_until)
    print_record(shown | {"created_at": moment(user.created_at), "password_until": until})


@users.command(name="set-roles")
@click.argument("name")
@_roles
@_grants
@click.option("--no-roles", is_flag=True, help="Take all roles away.")
@click.option("--no-grants", is_flag=True, help="Take all grants away.")
@config_option
@json_option
def set_roles(
    name: str,
    *,
    roles: tuple[str, ...],
    grants: tuple[str, ...],
    no_roles: bool,
    no_grants: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Replace what a user may do; open sockets have it within a second."""
    if (roles and no_roles) or (grants and no_grants):
        raise click.UsageError("--role with --no-roles, or --grant with --no-grants: leave one out")
    if not (roles or grants or no_roles or no_grants):
        raise click.UsageError("say which roles: --role R …, or --no-roles to take all away")

    async def work(opened: Opened) -> "User":
        return await opened.local.users.set_rights(
            name, roles=roles if roles or no_roles else None, grants=grants if grants or no_grants else None
        )

    user = using(config, work)
    if as_json:
        print_json(_described(user))
        return
    click.echo(f"{user.username}: roles {clean(user.roles) or 'none'}; grants {clean(user.grants) or 'none'}")


@users.command(name="set-password")
@click.argument("name")
@click.option("--service", is_flag=True, help="A service's: it gets another API key, printed once.")
@_password
@config_option
@json_option
def set_password(name: str, service: bool, password_stdin: bool, config: Path | None, as_json: bool) -> int:
    """Give a user another password; every login of theirs ends."""
    if service and password_stdin:
        raise click.UsageError(
            "--service and --password-stdin: a service has an API key and no password; leave one out"
        )
    password = "" if service else choose("new password", from_stdin=password_stdin)

    async def work(opened: Opened) -> tuple["Report", str]:
        if service:
            return await opened.local.users.reset_key(name)
        return await opened.local.users.set_password(name, password), ""

    report, key = using(config, work)
    if key and as_json:
        print_json({"api_key": key, "report": described(report)})
        return 0 if report.complete else 1
    if key:
        _print_key(key)
        return 0 if report.complete else 1
    return print_report(report, as_json=as_json)


@users.command
@click.argument("name")
@config_option
@json_option
def disable(name: str, config: Path | None, as_json: bool) -> int:
    """Let a user in no more, and end every login of theirs."""
    return _ordered(config, as_json, lambda opened: opened.local.users.disable(name))


@users.command
@click.argument("name")
@config_option
@json_option
def enable(name: str, config: Path | None, as_json: bool) -> None:
    """Let a user in again."""

    async def work(opened: Opened) -> "User":
        return await opened.local.users.enable(name)

    user = using(config, work)
    if as_json:
        print_json(_described(user))
        return
    click.echo(f"{user.username} may sign in again")


@users.command
@click.argument("name")
@config_option
@json_option
def unlock(name: str, config: Path | None, as_json: bool) -> None:
    """Forget the failed logins of a user, from everywhere."""

    async def work(opened: Opened) -> "User":
        return await opened.local.unlock(name)

    user = using(config, work)
    if as_json:
        print_json(_described(user))
        return
    click.echo(f"the failed logins of {user.username} are forgotten")


@users.command
@click.argument("name")
@config_option
@json_option
def remove(name: str, config: Path | None, as_json: bool) -> int:
    """Forget a user, and end every login of theirs."""
    return _ordered(config, as_json, lambda opened: opened.local.users.remove(name))


def _ordered(config: Path | None, as_json: bool, work: Callable[[Opened], Awaitable["Report"]]) -> int:
    return print_report(using(config, work), as_json=as_json)


def _print_key(key: str) -> None:
    say("Its API key, shown only here; send it as Authorization: Bearer …")
    click.echo(key)


def _row(user: "User") -> tuple[object, ...]:
    state = "disabled" if user.disabled else "service" if user.service else ""
    return user.username, user.roles, user.grants, state, moment(user.created_at)


def _described(user: "User") -> dict[str, Any]:
    return {
        "username": user.username,
        "roles": list(user.roles),
        "grants": list(user.grants),
        "service": user.service,
        "disabled": user.disabled,
        "created_at": user.created_at,
        "password_until": user.password_until,
        "must_change": user.must_change,
    }
