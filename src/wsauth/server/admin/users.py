"""Users: add, change and remove them. A password is drawn here and shown once; nobody reads or chooses another's."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from wsauth.core.users import User as StoredUser
from wsauth.errors import Refused
from wsauth.server.admin.access import ADMIN, permitted
from wsauth.server.admin.answers import AddedUser, ChangedUser, Ended, Report, User
from wsauth.server.admin.orders import Confirmed, status_of, under_way
from wsauth.server.admin.paging import After, Limit, Page, page_of
from wsauth.server.plane import Body, Plane
from wsauth.server.problems import Unfit

__all__ = ["user_routes"]

_PAGE = 1000

Name = Annotated[str, Field(max_length=256)]
Names = Annotated[list[Name], Field(max_length=256)]


class NewUser(Body):
    """Be a user to add; a service comes by an API key, everybody else by a password."""

    username: Name
    roles: Names = Field(default_factory=list)
    grants: Names = Field(default_factory=list)
    service: bool = False


class UserChange(Body):
    """Be one change of a user: of rights, of whether they may come in, or of what they come in by."""

    roles: Names | None = None
    grants: Names | None = None
    disabled: bool | None = None
    reset_password: Confirmed | None = None
    reset_key: Confirmed | None = None
    unlock: Confirmed | None = None

    @property
    def changes(self) -> int:
        """Return how many changes it is; roles and grants are one."""
        rights = self.roles is not None or self.grants is not None
        ordered = (self.reset_password, self.reset_key, self.unlock)
        return sum((rights, self.disabled is not None, *map(bool, ordered)))


def user_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/users", tags=["admin: users"], dependencies=[Depends(permitted(plane))])
    users = _Users(plane)

    @router.get("")
    async def list_users(limit: Limit = 100, after: After = "") -> Page[User]:
        """List users in the order of their names."""
        found = await plane.local.users.page(after, limit + 1)
        return page_of([User.of(user) for user in found], limit, lambda user: user.username)

    @router.post("", status_code=201, response_model_exclude_unset=True)
    async def add_user(body: NewUser) -> AddedUser:
        """Add a user with a random first password, good for a day until it is used, or a service with an API key."""
        return await users.add(body)

    @router.get("/{name:path}")
    async def show_user(name: str) -> User:
        """Show a user."""
        return User.of(await plane.local.users.get(name))

    @router.patch("/{name:path}", response_model_exclude_unset=True, responses=under_way(ChangedUser))
    async def change_user(name: str, body: UserChange, response: Response) -> ChangedUser:
        """Change a user: one of rights (`roles`, `grants`), `disabled`, `reset_password` and `reset_key`."""
        changed = await users.change(name, body)
        response.status_code = status_of(changed.report)
        return changed

    @router.delete("/{name:path}", responses=under_way(Ended))
    async def remove_user(name: str, response: Response) -> Ended:
        """Remove a user; when this answers, their logins have ended and their sockets are closed."""
        ended = await users.remove(name)
        response.status_code = status_of(ended.report)
        return ended

    return router


class _Users:
    def __init__(self, plane: Plane) -> None:
        self._users = plane.local.users
        self._local = plane.local
        self._one_at_a_time = asyncio.Lock()

    async def add(self, body: NewUser) -> AddedUser:
        if body.service:
            service, key = await self._users.add_service(body.username, roles=body.roles, grants=body.grants)
            return AddedUser.of(service, api_key=key)
        user, password = await self._users.add_with_first_password(body.username, roles=body.roles, grants=body.grants)
        return AddedUser.of(user, password=password)

    async def change(self, name: str, body: UserChange) -> ChangedUser:
        if body.changes != 1:
            raise Unfit(400, "change one thing: roles and grants, disabled, reset_password, reset_key, or unlock")
        if body.roles is not None or body.grants is not None:
            async with self._one_at_a_time:
                if body.grants is not None and ADMIN not in body.grants:
                    await self._check_not_last(await self._users.get(name))
                return ChangedUser.of(await self._users.set_rights(name, roles=body.roles, grants=body.grants))
        if body.reset_password:
            report, password = await self._users.reset_password(name)
            return ChangedUser.of(await self._users.get(name), report=Report.of(report), password=password)
        if body.reset_key:
            report, key = await self._users.reset_key(name)
            return ChangedUser.of(await self._users.get(name), report=Report.of(report), api_key=key)
        if body.unlock:
            return ChangedUser.of(await self._local.unlock(name))
        if not body.disabled:
            return ChangedUser.of(await self._users.enable(name))
        async with self._one_at_a_time:
            await self._check_not_last(await self._users.get(name))
            report = await self._users.disable(name)
        return ChangedUser.of(await self._users.get(name), report=Report.of(report))

    async def remove(self, name: str) -> Ended:
        async with self._one_at_a_time:
            await self._check_not_last(await self._users.get(name))
            return Ended(report=Report.of(await self._users.remove(name)))

    async def _check_not_last(self, user: StoredUser) -> None:
        """Go on only if somebody else may still administer."""
        if user.disabled or ADMIN not in user.grants:
            return
        after, page = "", [user]
        while page:
            page = list(await self._users.page(after, _PAGE))
            if any(ADMIN in one.grants and not one.disabled and one.username != user.username for one in page):
                return
            after = page[-1].username if page else ""
        raise Refused("conflict", f"{user.username} is the last enabled user with the grant {ADMIN}")
