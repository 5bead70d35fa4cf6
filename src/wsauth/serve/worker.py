"""One of several processes that serve: `wsauth.serve.supervisor` starts it and tells it all on standard input."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from typing import Any

from wsauth.errors import ConfigurationError
from wsauth.serve.application import Urls, imported
from wsauth.serve.listening import Listening
from wsauth.serve.logs import configure
from wsauth.serve.process import Told, serve
from wsauth.serve.supervisor import ACCEPTING, MISCONFIGURED
from wsauth.settings import Settings

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def main() -> int:
    """Serve until the parent says otherwise, or is gone."""
    # Ctrl-C is for the parent, which tells us; what anybody prints must not look like a word to the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The parent hands SIGHUP on, which means certificates; it must not end a worker that is not there yet.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    parent = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    configure()
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    order = json.loads(line)
    try:
        return serve(
            Settings.restore(order["settings"]),
            imported(order["factory"]),
            _listening(order),
            told=Told(lambda: _say(parent)),
            first=_watch_parent,
        )
    except ConfigurationError as error:
        sys.stderr.write(f"wsauth: {error}\n")
        return MISCONFIGURED
    except Exception:
        logging.getLogger("wsauth").exception("the worker failed")
        return 1


def _listening(order: dict[str, Any]) -> Listening:
    public, *admin = [socket.socket(fileno=number) for number in order["sockets"]]
    return Listening(public, admin[0] if admin else None, Urls(**order["urls"]))


def _say(parent: int) -> None:
    os.write(parent, ACCEPTING)
    os.close(parent)


def _watch_parent() -> None:
    """End at once when the parent has: nobody would stop us, and another server wants the port."""
    asyncio.get_running_loop().add_reader(_STDIN, lambda: os.read(_STDIN, 1) or os._exit(1))


if __name__ == "__main__":
    sys.exit(main())
