"""`scope["user"]` and `scope["auth"]`, in the shape Starlette's `requires` knows."""

from collections.abc import Iterator
from typing import Protocol, Self

from wsauth.core.identity import Identity
from wsauth.core.permissions import Permissions

__all__ = ["Bearer", "User"]


class Bearer(Protocol):
    """Be whoever has an identity and permissions, as of now: a connection or an HTTP request."""

    @property
    def identity(self) -> Identity: ...

    @property
    def permissions(self) -> Permissions: ...


class User:
    """Be `scope["user"]`, and as `scope["auth"]` know what the user may do."""

    __slots__ = ("_bearer",)

    def __init__(self, bearer: Bearer) -> None:
        self._bearer = bearer

    @property
    def is_authenticated(self) -> bool:
        """Tell somebody from nobody."""
        return self._bearer.identity.is_authenticated

    @property
    def display_name(self) -> str:
        """Return the subject."""
        return self._bearer.identity.subject

    @property
    def identity(self) -> Identity:
        """Return who it is."""
        return self._bearer.identity

    @property
    def scopes(self) -> Self:
        """Return what answers `in`: permissions, by the patterns of the roles, and `authenticated` for anybody."""
        return self

    def __contains__(self, name: object) -> bool:
        if name == "authenticated":
            return self._bearer.identity.is_authenticated
        return name in self._bearer.permissions

    def __iter__(self) -> Iterator[str]:
        return iter(self._bearer.permissions.names)
