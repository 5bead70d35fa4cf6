"""The subjects: each database in turn, empty in every test. A second one joins by its URL."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.conformance_store.cast import alice, bob
from wsauth.core.users import User
from wsauth.interfaces.store import Store
from wsauth.stores import open_store

DATABASES = ("sqlite",)


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name an empty database."""
    return f"{request.param}:///{tmp_path}/wsauth.db"


@pytest.fixture
async def store(url: str) -> AsyncGenerator[Store]:
    """Open the database."""
    store = open_store(url)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
async def owner(store: Store) -> User:
    """Add Alice."""
    return await store.users.add(alice())


@pytest.fixture
async def member(store: Store) -> User:
    """Add Bob."""
    return await store.users.add(bob())
