"""Pages of a list: `?limit=&after=`, and where the next one begins."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

__all__ = ["After", "Limit", "Page", "page_of"]

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at most.")]
After = Annotated[str, Query(max_length=256, description="The `next` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """Be some items of a list, and what to ask for the rest `after`; null at the end."""

    items: list[Item]
    next: str | None


def page_of(found: Sequence[Item], limit: int, name: Callable[[Item], str]) -> Page[Item]:
    """Return a page.

    Args:
        found: in order; one more than `limit` where there are more.
        limit: how many the page may have.
        name: what the next page begins after.
    """
    items = list(found[:limit])
    return Page(items=items, next=name(items[-1]) if len(found) > limit else None)
