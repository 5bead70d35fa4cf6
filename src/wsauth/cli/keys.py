"""`wsauth keys`: the keys that sign our own tokens."""

import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsauth.cli.options import Opened, config_option, json_option, using
from wsauth.cli.output import moment, print_json, print_table, span

if TYPE_CHECKING:
    from wsauth.interfaces.keys import StoredKey

__all__ = ["keys"]


@click.group
def keys() -> None:
    """Signing keys: list, rotate, remove."""


@keys.command(name="list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List the keys, the oldest first."""

    async def work(opened: Opened) -> list["StoredKey"]:
        return opened.local.signing.all()

    described = _described(using(config, work))
    if as_json:
        print_json(described)
        return
    print_table(
        ("key", "algorithm", "made", "signs from", "state"),
        (
            (key["kid"], key["algorithm"], moment(key["created_at"]), moment(key["signs_from"]), key["state"])
            for key in described
        ),
    )


@keys.command
@config_option
@json_option
@click.option("--now", is_flag=True, help="Sign with it at once, in an emergency; others may not have it yet.")
def rotate(config: Path | None, as_json: bool, now: bool) -> None:
    """Add a key; it signs when everybody has it, and the one before it goes on verifying."""

    async def work(opened: Opened) -> "StoredKey":
        return await opened.local.signing.rotate(at_once=now)

    key = using(config, work)
    if as_json:
        print_json(_described([key])[0])
        return
    wait = key.signs_from - time.time()
    click.echo(f"{key.key_id} was made; it signs {'from now on' if wait <= 0 else f'in {span(wait)}'}")


@keys.command
@click.argument("kid")
@config_option
def remove(kid: str, config: Path | None) -> None:
    """Remove a key at once: what it signed is refused from now on."""

    async def work(opened: Opened) -> None:
        await opened.local.signing.remove(kid)

    using(config, work)
    click.echo(f"{kid} was removed; what it signed is refused")


def _described(stored: list["StoredKey"]) -> list[dict[str, Any]]:
    """Say what each key does now; the one that signs is the newest of its algorithm that may."""
    now = time.time()
    order = sorted(stored, key=lambda key: (key.algorithm, key.signs_from))
    followed = {old.key_id for old, new in pairwise(order) if old.algorithm == new.algorithm and new.signs_from <= now}
    return [
        {
            "kid": key.key_id,
            "algorithm": key.algorithm,
            "created_at": key.created_at,
            "signs_from": key.signs_from,
            "state": "verifying" if key.key_id in followed else "published" if key.signs_from > now else "signing",
        }
        for key in stored
    ]
