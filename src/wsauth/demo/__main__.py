"""Run the demo: `python -m wsauth.demo [--port PORT] [--lease SECONDS]`."""

import argparse
import logging
import socket
import sys
from contextlib import suppress

import uvicorn

from wsauth.demo.accounts import ROLES, Accounts
from wsauth.demo.app import demo

_HOST = "127.0.0.1"
_PORT = 8000
_TRIED = 50
"""Ports that are tried from the default on, when it is taken."""

_LEASE, _SHORTEST, _LONGEST = 45, 10, 3600
"""Seconds of a lease."""

_TEXT = """
  wsauth demo: {url}

{users}

  1. Sign in as bob. Watch the lease run down, and its renewal on the open socket.
  2. In a second tab sign in as alice: disconnect bob, then revoke him.
  3. Press "Try a bad token", and find the id of the refusal below.

  Ctrl-C stops it.
"""


def main() -> int:
    """Listen, say where and for whom, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m wsauth.demo", description="A small application guarded by wsauth.")
    parser.add_argument("--port", type=int, help=f"default: {_PORT}, or the next that is free; 0 takes any")
    parser.add_argument("--lease", type=int, default=_LEASE, help=f"seconds that a token lives, {_LEASE} by default")
    arguments = parser.parse_args()
    asked: int | None = arguments.port
    if not _SHORTEST <= arguments.lease <= _LONGEST:
        parser.error(f"--lease {arguments.lease}: write {_SHORTEST} to {_LONGEST} seconds")
    try:
        listener = _listen(range(_PORT, _PORT + _TRIED) if asked is None else range(asked, asked + 1))
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on {_HOST}, port {_PORT if asked is None else asked}: {error}")
    port = listener.getsockname()[1]
    accounts = Accounts(arguments.lease)
    app = demo(accounts, [f"http://{_HOST}:{port}", f"http://localhost:{port}"])
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("wsauth").setLevel(logging.INFO)
    users = "\n".join(
        f"    {name:<8}{password}    {' and '.join(ROLES[name])}" for name, password in accounts.passwords.items()
    )
    sys.stdout.write(_TEXT.format(url=f"http://{_HOST}:{port}", users=users) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    with suppress(KeyboardInterrupt), listener:
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listen(ports: range) -> socket.socket:
    """Return a listening socket on the first of these ports that is free.

    Raises:
        OSError: none of them is.
    """
    for port in ports:
        listener = socket.socket()
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port))
            listener.listen()
        except OSError:
            listener.close()
            if port == ports[-1]:
                raise
        except BaseException:
            listener.close()
            raise
        else:
            return listener
    raise OSError("no port to try")


if __name__ == "__main__":
    sys.exit(main())
