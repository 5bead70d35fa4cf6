"""`wsauth serve`: bind, prepare, then serve in this process or in several."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import ExitStack

from wsauth.errors import ConfigurationError
from wsauth.serve.application import imported
from wsauth.serve.files import Capacity, local_ports, raise_limit
from wsauth.serve.listening import Listening, listen
from wsauth.serve.logs import configure
from wsauth.serve.notify import ServiceManager
from wsauth.serve.process import GRACE, Told, serve
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
    if not sys.stdin.isatty():
        # It means certificates (`Certificates`), and nothing without any; only a terminal that closes ends us.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    manager = ServiceManager.taken()
    try:
        with ExitStack() as until:
            return _run(settings, factory, manager, until)
    except ConfigurationError as error:
        sys.stderr.write(f"wsauth: {error}\n")
        return MISCONFIGURED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:
        logging.getLogger("wsauth").exception("the server failed")
        return 1


def _run(settings: Settings, factory: str, manager: ServiceManager, until: ExitStack) -> int:
    upstreams = [url for route in settings.routes for url in route.upstreams]
    capacity = Capacity(raise_limit(), settings.server.workers, upstreams, local_ports())
    listening = listen(settings, until)
    made = imported(factory)
    for line in made.prepare(settings):
        sys.stderr.write(f"{line}\n")

    def accepting() -> None:
        _announce(settings, listening, capacity)
        manager.ready(f"listening on {listening.urls.public}")

    def reloading() -> None:
        manager.reloading()
        manager.ready()

    def stopping() -> None:
        manager.stopping(settings.server.drain_timeout + 3 * GRACE, "draining")

    told = Told(accepting, reloading, stopping)
    if settings.server.workers > 1:
        return asyncio.run(Supervisor(settings, factory, listening, told).run())

    def hurry(status: int) -> None:
        until.close()
        os._exit(status)

    return serve(settings, made, listening, told=told, hurry=hurry)


def _announce(settings: Settings, listening: Listening, capacity: Capacity) -> None:
    lines = [f"wsauth is listening on {listening.urls.public}"]
    if listening.urls.admin:
        lines.append(f"  admin: {listening.urls.admin}")
    lines += [f"  {line}" for line in capacity.lines()]
    if capacity.warning():
        lines.append(f"warning: {capacity.warning()}")
    lines.append(f"  store: {settings.store.path.absolute()}")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
