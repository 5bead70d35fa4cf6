"""A Django application with its own login: its users, sessions and log-out are Django's, and it knows no wsauth."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.oidc import free_port
from tests.lifeline import hold, release
from tests.wsauth_sockets import new_password

APPLICATION = Path(__file__).parents[1] / "apps" / "django_sessions.py"
PATIENCE = 20.0


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
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(APPLICATION), str(folder / "django.db"), str(port), password, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    hold(process.pid)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"listening\n"
        yield Application(f"http://127.0.0.1:{port}", password)
    finally:
        process.kill()
        await process.wait()
        release(process.pid)
