"""The command `wsauth`: its verbs, and how everything that can go wrong becomes one line and an exit status."""

import sys
from typing import Any, Final

import click
from click.exceptions import Abort, NoArgsIsHelpError

from wsauth import __version__
from wsauth.cli.audit import audit, why
from wsauth.cli.blocks import blocks
from wsauth.cli.configuration import check, init
from wsauth.cli.connect import connect
from wsauth.cli.demo import demo
from wsauth.cli.keys import keys
from wsauth.cli.serve import serve
from wsauth.cli.sessions import sessions
from wsauth.cli.tokens import tokens
from wsauth.cli.users import users
from wsauth.errors import ConfigurationError, Refused

__all__ = ["main"]

_FAILED: Final = 1
_WRONG: Final = 2
_INTERRUPTED: Final = 130
_OUR_FAULT: Final = ("unavailable", "draining")
"""Refusals that are not about what was typed."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def wsauth() -> None:
    """Authentication, authorization and session control for WebSockets."""


for _verb in (serve, demo, init, check, users, sessions, tokens, keys, blocks, audit, why, connect):
    wsauth.add_command(_verb)


def main() -> int:
    """Run the command, and return its exit status: 0, 1 for a failure, 2 for bad input, 130 after Ctrl-C."""
    try:
        status: Any = wsauth.main(prog_name="wsauth", standalone_mode=False)
    except NoArgsIsHelpError as error:
        error.show()
        return _WRONG
    except click.ClickException as error:
        return _say(error.format_message(), _WRONG)
    except ConfigurationError as error:
        return _say(str(error), _WRONG)
    except Refused as error:
        return _say(_words(error), _FAILED if error.code in _OUR_FAULT else _WRONG)
    except Abort as error:
        if isinstance(error.__cause__ or error.__context__, EOFError):
            return _say("the input ended before an answer was given", _WRONG)
        return _INTERRUPTED
    except OSError as error:
        return _say(f"{error.filename or 'input or output'}: {error.strerror or error}", _FAILED)
    return int(status or 0)


def _words(error: Refused) -> str:
    found: list[str] = getattr(error, "reasons", [])
    return "; ".join(found) or error.reason or error.code


def _say(text: str, status: int) -> int:
    line = " ".join(text.split())
    sys.stderr.write(f"wsauth: {line if line.isprintable() else ascii(line)}\n")
    return status
