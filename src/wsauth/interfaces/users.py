"""Remembering our own users. Every method is one transaction, and its feed rows are part of it."""

from collections.abc import Collection, Sequence
from typing import Protocol

from wsauth.core.feed import NewRow
from wsauth.core.users import User

__all__ = ["UserStore"]


class UserStore(Protocol):
    """Keep users, found by their folded names. Whatever ends logins writes the `user` row whose number is the epoch."""

    async def add(self, user: User, key_tag: bytes | None = None) -> User:
        """Add a user, with their first epoch, and return them. `key_tag` is the MAC of a service's API key.

        Raises:
            Refused: `conflict`: there is one of that name.
        """

    async def find(self, username: str) -> User | None:
        """Return the user of this name, however it is written."""

    async def find_by_key(self, key_tag: bytes) -> User | None:
        """Return the service whose API key has this MAC."""

    async def page(self, after: str, limit: int) -> Sequence[User]:
        """Return users in the order of their folded names, those behind the name `after`."""

    async def count(self) -> int:
        """Return how many there are."""

    async def set_rights(
        self, username: str, roles: Collection[str] | None, grants: Collection[str] | None
    ) -> User | None:
        """Change what a user may do; logins go on with the new rights. `None` leaves what is there at that moment.

        Returns:
            The user as they are now; `None`: there is no such user.
        """

    async def set_password(
        self,
        username: str,
        password_hash: str,
        *,
        seen_epoch: int | None = None,
        carry: str | None = None,
        until: float | None = None,
        must_change: bool = False,
        order: str | None = None,
    ) -> User | None:
        """Change a password and end every session but `carry`, whose epoch moves on, and a cookie's generation.

        A client with a refresh token goes on with the one it has: the answer to the change brings it no other.

        Args:
            username: whose.
            password_hash: the new one.
            seen_epoch: the epoch in which the old password was checked; `None` for an administrator.
            carry: the session that made the change.
            until: when an unused new password ends.
            order: of the feed rows.

        Returns:
            The user as they are now; `None`: there is none, or they have changed since `seen_epoch`, or `carry` is no
            live session of theirs.
        """

    async def set_key(self, username: str, key_tag: bytes, *, order: str | None = None) -> User | None:
        """Give a service another API key; the old one is dead, and so is what it opened."""

    async def use_password(self, username: str, old_hash: str, new_hash: str) -> None:
        """Note that a password was good: it no longer ends, and it is hashed anew; nothing if it was changed."""

    async def set_disabled(self, username: str, disabled: bool, *, order: str | None = None) -> User | None:
        """Disable a user, which ends every login, or enable them again."""

    async def end_logins(self, username: str, *, order: str | None = None, before: NewRow | None = None) -> User | None:
        """End every session and token of a user.

        Args:
            username: whose.
            order: of the feed row.
            before: a row that is written just before, in the same transaction: whoever reads one reads both.
        """

    async def remove(self, username: str, *, order: str | None = None) -> bool:
        """Remove a user, which ends every login; tells whether there was one."""
