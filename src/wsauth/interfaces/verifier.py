"""Saying whether credentials are good."""

from typing import Protocol, runtime_checkable

from wsauth.core.credentials import Credentials
from wsauth.core.identity import Identity

__all__ = ["Recalling", "Verifier"]


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
