"""Passwords: the application knows its users, wsauth asks it."""

import inspect
from collections.abc import Awaitable, Callable

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity
from wsauth.errors import Refused

__all__ = ["PasswordVerifier"]

Check = Callable[[str, str], Awaitable[Identity | None] | Identity | None]


class PasswordVerifier:
    """Verify a username and a password, from HTTP Basic or a message, by asking a function of yours.

    Warning:
        Hash with Argon2id, compare in constant time, and take as long for an unknown user (ASVS 11.4.2). That
        takes a tenth of a second: do it in a thread (`asyncio.to_thread`), never on the event loop.

    Args:
        check: takes username and password and returns whose they are, or `None`; may be a coroutine function.
    """

    def __init__(self, check: Check) -> None:
        self._check = check

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return whose password it is.

        Raises:
            Refused: `credentials_invalid`, whatever was wrong.
        """
        if credentials.kind != "password":
            return None
        found = self._check(credentials.username, credentials.secret)
        if inspect.isawaitable(found):
            found = await found
        if found is None:
            raise Refused("credentials_invalid", "the username or the password is wrong")
        return found
