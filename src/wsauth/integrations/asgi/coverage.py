"""Find the WebSocket routes that no guard covers (ATTACKS AZ-01): a forgotten handler is an open door."""

from collections.abc import Iterator
from typing import Any

from wsauth.integrations.asgi.middleware import WebSocketAuthMiddleware

__all__ = ["unguarded"]


def unguarded(app: Any, guard: object) -> list[str]:
    """Return the paths of the WebSocket routes of a Starlette or FastAPI application that `guard` does not cover."""
    return list(_uncovered(app, guard, ""))


def _uncovered(app: Any, guard: object, prefix: str) -> Iterator[str]:
    if app is None or _covers(app, guard):
        return
    if any(_is_middleware(entry, guard) for entry in getattr(app, "user_middleware", ())):
        return
    routes = getattr(app, "routes", None)
    if routes is None:
        yield from _uncovered(getattr(app, "app", None), guard, prefix)
        return
    for route in routes:
        included = getattr(route, "original_router", None)  # what FastAPI's `include_router` leaves in the list
        if included is not None:
            yield from _uncovered(included, guard, prefix + route.include_context.prefix)
            continue
        path = prefix + getattr(route, "path", "")
        inner = getattr(route, "app", None)
        if any(kind.__name__ == "WebSocketRoute" for kind in type(route).__mro__):
            if not _covers(inner, guard):
                yield path
        elif hasattr(route, "routes"):
            yield from _uncovered(inner if inner is not None else route, guard, path)


def _covers(app: object, guard: object) -> bool:
    return isinstance(app, WebSocketAuthMiddleware) and app.guard is guard


def _is_middleware(entry: Any, guard: object) -> bool:
    return entry.cls is WebSocketAuthMiddleware and guard in (*entry.args, *entry.kwargs.values())
