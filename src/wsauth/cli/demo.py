"""`wsauth demo`."""

import click

__all__ = ["demo"]


@click.command
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The port to listen on; 0 takes a free one. Default: 8000, or the next that is free.",
)
def demo(port: int | None) -> int:
    """Show what wsauth does: a sample application, two users, everything in a temporary folder."""
    from wsauth.demo import run

    return run(port)
