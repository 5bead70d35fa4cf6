"""Our signing keys: their public halves, rotation and removal. No answer holds a private one (ATTACKS AD-07)."""

from collections.abc import Collection

from fastapi import APIRouter, Depends

from wsauth.core import events
from wsauth.interfaces.audit import recording
from wsauth.interfaces.keys import StoredKey
from wsauth.server.admin.access import permitted
from wsauth.server.admin.answers import Key
from wsauth.server.admin.paging import After, Limit, Page, page_of
from wsauth.server.plane import Body, Plane

__all__ = ["key_routes"]


class Rotation(Body):
    """Be how to rotate: `now` signs with the new key at once, which others may not have yet."""

    now: bool = False


def key_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/keys", tags=["admin: keys"], dependencies=[Depends(permitted(plane))])
    keys = _Keys(plane)

    @router.get("")
    async def list_keys(limit: Limit = 100, after: After = "") -> Page[Key]:
        """List signing keys in the order of their ids."""
        found = sorted((key for key in keys.all() if key.kid > after), key=lambda key: key.kid)
        return page_of(found, limit, lambda key: key.kid)

    @router.post("", status_code=201)
    async def rotate_keys(body: Rotation | None = None) -> Key:
        """Make a key. It signs when everybody has it; the one before it verifies until all that it signed has ended."""
        return await keys.rotate(at_once=body is not None and body.now)

    @router.delete("/{kid}", status_code=204)
    async def remove_key(kid: str) -> None:
        """Remove a key at once: what it signed is refused from now on."""
        await keys.remove(kid)

    return router


class _Keys:
    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._signing = plane.local.signing

    def all(self) -> list[Key]:
        public = {jwk["kid"]: jwk for jwk in self._signing.published()}
        stored, now, algorithm = self._signing.all(), self._plane.now(), self._plane.settings.tokens.algorithm
        ready = [key for key in stored if key.signs_from <= now and key.algorithm == algorithm]
        signing = max(ready, key=lambda key: key.signs_from, default=None)
        return [
            Key(
                kid=key.key_id,
                algorithm=key.algorithm,
                created_at=key.created_at,
                signs_from=key.signs_from,
                state="published" if key.signs_from > now else "signing" if key is signing else "verifying",
                jwk=public.get(key.key_id),
            )
            for key in stored
        ]

    async def rotate(self, *, at_once: bool) -> Key:
        before = _ids(self._signing.all())
        with recording():
            made = await self._signing.rotate(at_once=at_once)
            self._tell(made.key_id, "added")
            for key_id in sorted(before - _ids(self._signing.all())):
                self._tell(key_id, "removed")
        return next(key for key in self.all() if key.kid == made.key_id)

    async def remove(self, key_id: str) -> None:
        with recording():
            await self._signing.remove(key_id)
            self._tell(key_id, "removed")

    def _tell(self, key_id: str, what: str) -> None:
        self._plane.guard.bus.publish(events.KeysChanged(at=self._plane.now(), key_id=key_id, what=what))


def _ids(keys: Collection[StoredKey]) -> set[str]:
    return {key.key_id for key in keys}
