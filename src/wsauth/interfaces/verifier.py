"""Saying whether credentials are good."""

from typing import Protocol, runtime_checkable

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity

__all__ = ["MustWait", "Prompt", "Recalling", "Rechecking", "Verifier"]


@runtime_checkable
class Verifier(Protocol):
    """Say whether credentials are good. One file each in `wsauth.verifiers`; anybody may bring their own."""

    async def verify(self, credentials: Credentials) -> Identity | None:
        """Return who presented them, or `None` when they are not this verifier's to judge.

        Raises:
            Refused: they are this verifier's and they are bad; `code` says how (`token_invalid`, `token_expired`,
                `credentials_invalid`, `unavailable` …).
        """


@runtime_checkable
class Recalling(Protocol):
    """Be a verifier that remembers what it verified, so that seeing it again costs no await."""

    def recall(self, credentials: Credentials) -> Identity | None:
        """Return whose they are when they were verified lately and are good still; never a wrong yes."""


class MustWait(Exception):
    """Say that credentials cannot be judged at once: `Verifier.verify` has to be awaited."""


@runtime_checkable
class Prompt(Protocol):
    """Be a verifier that judges tokens without waiting, as long as it has what it needs in memory."""

    def judge(self, credentials: Credentials) -> Identity | None:
        """Return what `Verifier.verify` would, at once.

        Raises:
            Refused: they are this verifier's and they are bad.
            MustWait: something has to be fetched or looked up first.
        """


@runtime_checkable
class Rechecking(Protocol):
    """Be a verifier that asks somebody, and asks again while a connection stands on the answer.

    The identity that `Verifier.verify` returns ends when it must have been asked again.
    """

    async def recheck(self, credentials: Credentials) -> Identity:
        """Return whose they are now.

        Raises:
            Refused: they are good no more (`token_revoked`, `session_revoked`), or `unavailable`: nobody answered.
        """
