"""`wsauth blocks`: who is kept out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from wsauth.cli.options import Opened, config_option, json_option, using
from wsauth.cli.output import moment, print_json, print_table
from wsauth.core.units import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsauth.core.blocks import Block

__all__ = ["blocks"]


@click.group
def blocks() -> None:
    """Blocked addresses and networks: list, add, remove."""


@blocks.command(name="list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """List what is blocked now."""

    async def work(opened: Opened) -> "Sequence[Block]":
        return await opened.local.blocking.all()

    found = using(config, work)
    if as_json:
        print_json([msgspec.to_builtins(block) for block in found])
        return
    print_table(
        ("network", "since", "until", "refuses", "reason"),
        (
            (
                block.network,
                moment(block.created_at),
                "for ever" if block.until is None else moment(block.until),
                "strangers and passwords" if block.automatic else "everybody",
                block.reason,
            )
            for block in found
        ),
    )


@blocks.command
@click.argument("address")
@config_option
@json_option
@click.option("--for", "lasts", metavar="DURATION", default="", help='How long, such as "1h". Default: for ever.')
@click.option("--reason", default="", help="Why, for whoever lists it.")
def add(address: str, config: Path | None, as_json: bool, lasts: str, reason: str) -> None:
    """Refuse everybody at an address or network, and close what they have open."""
    time = seconds(lasts, "--for") if lasts else None

    async def work(opened: Opened) -> "Block":
        return await opened.local.blocking.add(address, lasts=time, reason=reason)

    block = using(config, work)
    if as_json:
        print_json(msgspec.to_builtins(block))
        return
    click.echo(f"{block.network} is blocked {'for ever' if block.until is None else f'until {moment(block.until)}'}")


@blocks.command
@click.argument("address")
@config_option
def remove(address: str, config: Path | None) -> None:
    """Let an address or network in again."""

    async def work(opened: Opened) -> "Block":
        return await opened.local.blocking.remove(address)

    click.echo(f"{using(config, work).network} may come in again")
