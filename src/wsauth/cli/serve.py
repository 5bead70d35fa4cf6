"""`wsauth serve`."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from wsauth.cli.options import config_option, settings_of

__all__ = ["serve"]

_FACTORY: Final = "wsauth.server.factory:factory"


@click.command
@config_option
@click.option("--host", metavar="HOST", help="The address to listen on.")
@click.option("--port", metavar="PORT", help="The port to listen on; 0 takes a free one.")
@click.option("--upstream", metavar="URL", help="Serve every path to this backend.")
@click.option("--store", metavar="URL", help="The store: sqlite:///FILE.")
@click.option("--workers", metavar="N", help="How many processes serve.")
def serve(config: Path | None, **options: str | None) -> int:
    """Run the server, until Ctrl-C or SIGTERM."""
    from wsauth.serve import run
    from wsauth.settings import warnings
    from wsauth.settings.loading import located

    settings = settings_of(config, options)
    for warning in warnings(settings, located(config, os.environ)):
        sys.stderr.write(f"warning: {warning}\n")
    return run(settings, _FACTORY)
