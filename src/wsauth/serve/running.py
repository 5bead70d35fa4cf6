"""`wsauth serve`: bind, prepare, then serve in this process or in several."""

import asyncio
import logging
import os
import sys
from contextlib import ExitStack

from wsauth.errors import ConfigurationError
from wsauth.serve.application import imported
from wsauth.serve.listening import Listening, listen
from wsauth.serve.logs import configure
from wsauth.serve.process import serve
from wsauth.serve.supervisor import MISCONFIGURED, Supervisor
from wsauth.settings import Settings

__all__ = ["run"]

_INTERRUPTED = 130


def run(settings: Settings, factory: str) -> int:
    """Serve until a signal.

    Args:
        settings: the configuration.
        factory: `package.module:name` of a `Factory`.

    Returns:
        The exit status: 0 after a signal, 2 for a configuration that cannot work, 1 for any other failure.
    """
    configure()
    try:
        with ExitStack() as until:
            return _run(settings, factory, until)
    except ConfigurationError as error:
        sys.stderr.write(f"wsauth: {error}\n")
        return MISCONFIGURED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:
        logging.getLogger("wsauth").exception("the server failed")
        return 1


def _run(settings: Settings, factory: str, until: ExitStack) -> int:
    listening = listen(settings, until)
    made = imported(factory)
    for line in made.prepare(settings):
        sys.stderr.write(f"{line}\n")

    def accepting() -> None:
        _announce(settings, listening)

    if settings.server.workers > 1:
        return asyncio.run(Supervisor(settings, factory, listening, accepting).run())

    def hurry(status: int) -> None:
        until.close()
        os._exit(status)

    return serve(settings, made, listening, accepting=accepting, hurry=hurry)


def _announce(settings: Settings, listening: Listening) -> None:
    lines = [f"wsauth is listening on {listening.urls.public}"]
    if listening.urls.admin:
        lines.append(f"  admin: {listening.urls.admin}")
    lines.append(f"  store: {settings.store.path.absolute()}")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
