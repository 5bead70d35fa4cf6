"""Which URL names which store."""

from pathlib import Path

import pytest

from tests.conformance_store.cast import alice
from wsauth.errors import ConfigurationError
from wsauth.stores import open_store


async def test_three_slashes_name_a_file_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path counts from where the process was when the store was named."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///a b%20c#d.db")
    monkeypatch.chdir("/")
    await store.open()
    await store.users.add(alice())
    await store.aclose()
    assert (tmp_path / "a b%20c#d.db").stat().st_size


async def test_four_slashes_name_an_absolute_file(tmp_path: Path) -> None:
    """An absolute path is taken as it is."""
    store = open_store(f"sqlite:///{tmp_path}/wsauth.db")
    await store.open()
    await store.aclose()
    assert (tmp_path / "wsauth.db").stat().st_size


@pytest.mark.parametrize(
    "url", ["postgresql://wsauth:hunter2@db/wsauth", "postgresql+psycopg://x:hunter2@db", "redis://"]
)
def test_other_databases_are_refused_with_a_clear_line(url: str) -> None:
    """The line says what is possible, and shows nothing of a URL that may hold a password."""
    with pytest.raises(ConfigurationError, match=r"\[store\] url: .*SQLite.*sqlite:///wsauth\.db") as refused:
        open_store(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "wsauth.db", "memory:", "sqlite://", "sqlite:///", "sqlite://host/x.db"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    """A store has to be somewhere."""
    with pytest.raises(ConfigurationError, match=r"\[store\] url: .*sqlite:///wsauth\.db"):
        open_store(url)


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///x.db?mode=ro"])
def test_what_other_programs_know_is_refused(url: str) -> None:
    """A database in memory, or with options, would be something else than it says."""
    with pytest.raises(ConfigurationError, match="names no file"):
        open_store(url)
