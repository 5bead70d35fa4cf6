"""One store with Alice and Bob, and a process over it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.races.world import PASSWORD, Process, process
from wsauth.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Stand still, at the time it is."""
    return FakeClock()


@pytest.fixture
async def here(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[Process]:
    """Run a process in whose store Alice is an owner and Bob a member."""
    async with process(tmp_path, clock) as it:
        await it.local.users.add("alice", PASSWORD, roles=["owner"])
        await it.local.users.add("bob", PASSWORD, roles=["member"])
        yield it


@pytest.fixture
async def there(tmp_path: Path, clock: FakeClock, here: Process) -> AsyncGenerator[Process]:
    """Run another process over the same store."""
    async with process(tmp_path, clock) as it:
        yield it
