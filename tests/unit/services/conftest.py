"""The services over an empty store."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.unit.services.ground import Ground, ground


@pytest.fixture
async def it(tmp_path: Path) -> AsyncGenerator[Ground]:
    """Open the services over an empty store."""
    async with ground(tmp_path) as opened:
        yield opened
