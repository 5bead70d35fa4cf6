"""Run the demo: a server in a temporary folder, with two users whose passwords are printed."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from wsauth.demo.site import ROLES, site
from wsauth.errors import ConfigurationError
from wsauth.serve.application import Urls
from wsauth.serve.listening import Listening, listen
from wsauth.serve.logs import configure
from wsauth.serve.process import Told, serve
from wsauth.server.application import ControlPlane
from wsauth.settings import Settings

__all__ = ["run"]

_PORT: Final = 8000
_TRIED: Final = 50
"""Ports that are tried from the default on, when it is taken."""
_SHORTEST, _LONGEST = 10, 3600
"""Seconds of a lease."""
_PEOPLE: Final = {"alice": "admin", "bob": "member"}
_MISCONFIGURED: Final = 2
_INTERRUPTED: Final = 130

_TEXT: Final = """
  wsauth demo: {url}

{people}

  1. Sign in as bob. Watch the lease run down, and its renewal on the open socket.
  2. Sign in as alice at {other}, which has cookies of its own:
     disconnect bob, make him a reader, revoke him.
  3. Press "Try a bad token", and find the id of the refusal below.

  Ctrl-C stops it and removes what it has written.

"""


def run(port: int | None = None, lease: float = 45) -> int:
    """Serve the demo until a signal.

    Args:
        port: to listen on; 0 takes any. `None`: 8000, or the next that is free.
        lease: seconds that a lease lasts; short, so that one sees it run down.

    Returns:
        The exit status: 0 after a signal, 2 for a port or a lease that cannot be.
    """
    configure()
    try:
        with ExitStack() as until:
            return _run(port, lease, until)
    except ConfigurationError as error:
        sys.stderr.write(f"wsauth: {error}\n")
        return _MISCONFIGURED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(port: int | None, lease: float, until: ExitStack) -> int:
    if not _SHORTEST <= lease <= _LONGEST:
        raise ConfigurationError(f"a lease of {lease:g} s: write {_SHORTEST} to {_LONGEST} seconds")
    folder = Path(until.enter_context(TemporaryDirectory(prefix="wsauth-demo-", ignore_cleanup_errors=True)))
    settings, listening = _listening(port, lambda at: _settings(folder, at, lease), until)
    demo = _Demo()

    def accepting() -> None:
        sys.stdout.write(_text(listening.urls.public, demo.passwords))
        sys.stdout.flush()

    def hurry(status: int) -> None:
        until.close()
        os._exit(status)

    return serve(settings, demo, listening, told=Told(accepting), hurry=hurry)


class _Demo:
    """Make the control plane, and the people in its store once it is open."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}

    def prepare(self, _: Settings) -> list[str]:
        return []

    def build(self, settings: Settings, urls: Urls) -> ControlPlane:
        return _Plane(settings, urls, self.passwords)


class _Plane(ControlPlane):
    def __init__(self, settings: Settings, urls: Urls, passwords: dict[str, str]) -> None:
        super().__init__(settings, urls, site)
        self._passwords = passwords

    async def start(self) -> None:
        await super().start()
        for name, role in _PEOPLE.items():
            _, self._passwords[name] = await self.plane.local.users.add_with_first_password(name, roles=[role])


def _settings(folder: Path, port: int, lease: float) -> Settings:
    return Settings.model_validate(
        {
            "server": {"port": port, "drain_timeout": 0},
            "store": {"url": f"sqlite:///{folder / 'demo.db'}", "key_file": str(folder / "demo.key")},
            "tokens": {"access_ttl": lease},
            "roles": ROLES,
            "routes": [
                {
                    "path": "/ws",
                    "upstream": "asgi:wsauth.demo.app:chat",
                    "require": ["chat:read"],
                    "on_rights_change": "keep",  # the chat asks anew for each message what somebody may do
                }
            ],
            "admin": {"listen": "127.0.0.1:0"},
        }
    )


def _listening(
    port: int | None, settings_at: Callable[[int], Settings], until: ExitStack
) -> tuple[Settings, Listening]:
    """Listen on the port, or on the first from the default on that is free.

    Raises:
        ConfigurationError: none is.
    """

    def listening(at: int) -> tuple[Settings, Listening]:
        settings = settings_at(at)
        return settings, listen(settings, until)

    if port is not None:
        return listening(port)
    for each in range(_PORT, _PORT + _TRIED):
        with suppress(ConfigurationError):
            return listening(each)
    return listening(_PORT)


def _text(url: str, passwords: dict[str, str]) -> str:
    people = "\n".join(f"    {name:<8}{password}    {_PEOPLE[name]}" for name, password in passwords.items())
    return _TEXT.format(url=url, other=url.replace("127.0.0.1", "localhost"), people=people)
