"""The library's composition root: `Guard` is what an application holds, `Route` what it says about a path."""

from wsauth.guard.guard import Guard
from wsauth.guard.route import Route

__all__ = ["Guard", "Route"]
