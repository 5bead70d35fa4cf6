"""What `wsauth serve` runs, and what it does once before any process serves: the store, the key, the first user."""

import asyncio
import os
import sys
from typing import Final

from wsauth.errors import ConfigurationError, Refused
from wsauth.guard.configured import backend_of
from wsauth.guard.local import Local
from wsauth.server.application import ControlPlane
from wsauth.server.plane import Urls
from wsauth.services.users import FIRST_PASSWORD_LIFE, PasswordRejected
from wsauth.settings import Settings
from wsauth.settings.environment import secret

__all__ = ["Factory", "factory"]

_VARIABLE: Final = "WSAUTH_ADMIN_PASSWORD"
_ADMIN: Final = "admin"
_GRANT: Final = "wsauth:admin"


class Factory:
    """Make control planes."""

    def prepare(self, settings: Settings) -> list[str]:
        """Make or migrate the store, make the key file and the first user, and return what a person must know."""
        return asyncio.run(self._prepare(settings))

    async def _prepare(self, settings: Settings) -> list[str]:
        backend = backend_of(settings, follows=False)
        await backend.open()
        try:
            if backend.local is None or await backend.local.users.any():
                return []
            return await _first_user(backend.local)
        finally:
            await backend.aclose()

    def build(self, settings: Settings, urls: Urls) -> ControlPlane:
        """Return the control plane of this process."""
        return ControlPlane(settings, urls)


async def _first_user(local: Local) -> list[str]:
    """Make the first user, unless another process that starts at the same time has."""
    try:
        return await _made(local)
    except PasswordRejected as error:
        raise ConfigurationError(f"{_VARIABLE}: {'; '.join(error.reasons)}") from None
    except Refused as error:
        if error.code != "conflict":
            raise
        return []


async def _made(local: Local) -> list[str]:
    password = secret(os.environ, _VARIABLE)
    if password:
        await local.users.add(_ADMIN, password, grants=[_GRANT])
        return [f"The user {_ADMIN} was made, with the password that the environment gave."]
    if not sys.stderr.isatty():
        return ["There are no users yet: wsauth users add NAME --grant wsauth:admin, or set WSAUTH_ADMIN_PASSWORD."]
    _, drawn = await local.users.add_with_first_password(_ADMIN, grants=[_GRANT])
    hours = FIRST_PASSWORD_LIFE / 3600
    return [
        f"The user {_ADMIN} was made. Its password, shown only here and good for {hours:.0f} h until it is first used:",
        "",
        f"    {drawn}",
        "",
    ]


factory = Factory()
