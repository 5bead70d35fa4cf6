"""A Django application with its own login: its users, sessions and log-out are Django's, and it knows no wsauth."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.oidc import free_port, listening
from tests.wsauth_sockets import new_password

APPLICATION = Path(__file__).parents[1] / "apps" / "django_sessions.py"


@dataclass
class Application:
    """Be the application while it runs.

    Attributes:
        url: where it is.
        password: of its user, alice.
    """

    url: str
    password: str


@asynccontextmanager
async def django(folder: Path) -> AsyncGenerator[Application]:
    """Run the application, with a database in the folder."""
    password, port = new_password("alice"), free_port()
    async with listening(sys.executable, APPLICATION, folder / "django.db", str(port), password):
        yield Application(f"http://127.0.0.1:{port}", password)
