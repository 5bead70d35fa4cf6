"""Blocks: which addresses and networks are kept out."""

from typing import Annotated, Self

import msgspec
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from wsauth.core import blocks
from wsauth.errors import ConfigurationError, Refused
from wsauth.server.admin.access import permitted
from wsauth.server.admin.paging import After, Limit, Page, page_of
from wsauth.server.plane import Body, Plane
from wsauth.server.problems import Unfit

__all__ = ["block_routes"]


class NewBlock(Body):
    """Be an address or network that everybody at is to be refused.

    Attributes:
        lasts: seconds; null: until it is removed.
    """

    network: Annotated[str, Field(min_length=1, max_length=64)]
    lasts: Annotated[int, Field(ge=1, le=10**9)] | None = None
    reason: Annotated[str, Field(max_length=200)] = ""


class Block(BaseModel):
    """Be a blocked network; an automatic block refuses strangers and passwords, another one everybody."""

    network: str
    until: float | None
    automatic: bool
    reason: str
    created_at: float

    @classmethod
    def of(cls, block: blocks.Block) -> Self:
        """Return the answer."""
        return cls(**msgspec.structs.asdict(block))


def block_routes(plane: Plane) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/blocks", tags=["admin: blocks"], dependencies=[Depends(permitted(plane))])
    blocking = plane.local.blocking

    @router.get("")
    async def list_blocks(limit: Limit = 100, after: After = "") -> Page[Block]:
        """List what is blocked now, in the order of the networks."""
        found = [block for block in await blocking.all() if block.network > after][: limit + 1]
        return page_of([Block.of(one) for one in found], limit, lambda one: one.network)

    @router.post("", status_code=201)
    async def add_block(body: NewBlock) -> Block:
        """Refuse everybody at an address or network, and close what they have open."""
        try:
            return Block.of(await blocking.add(body.network, lasts=body.lasts, reason=body.reason))
        except ConfigurationError as error:
            raise Unfit(400, str(error)) from None

    @router.get("/{network:path}")
    async def show_block(network: str) -> Block:
        """Show a block."""
        name = _named(network)
        found = next((block for block in await blocking.all() if block.network == name), None)
        if found is None:
            raise Refused("not_found", f"{name} is not blocked")
        return Block.of(found)

    @router.delete("/{network:path}", status_code=204)
    async def remove_block(network: str) -> None:
        """Let an address or network in again."""
        await blocking.remove(_named(network))

    return router


def _named(network: str) -> str:
    try:
        return blocks.network(network)
    except ConfigurationError:
        raise Refused("not_found", "there is no such block") from None
