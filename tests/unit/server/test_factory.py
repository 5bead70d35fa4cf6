"""What is done once before any process serves, by several that begin in the same moment."""

import asyncio
from pathlib import Path

import pytest

from tests.leaks import secret
from wsauth.errors import ConfigurationError
from wsauth.guard.configured import backend_of
from wsauth.server.factory import Factory
from wsauth.settings import load

VARIABLE = "WSAUTH_ADMIN_PASSWORD"


@pytest.fixture(autouse=True)
def _nobody_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a store without users."""
    (tmp_path / "wsauth.toml").write_text("")
    monkeypatch.delenv(VARIABLE, raising=False)
    (line,) = Factory().prepare(load(tmp_path / "wsauth.toml", {}))
    assert line.startswith("There are no users yet")


async def test_of_eight_at_once_one_makes_the_admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All found nobody before any of them wrote: one says that it made the user, and the others go on to serve."""
    monkeypatch.setenv(VARIABLE, secret("a horse that starts first", "the admin's password"))
    settings = load(tmp_path / "wsauth.toml", {})
    told = await asyncio.gather(*(asyncio.to_thread(Factory().prepare, settings) for _ in range(8)))
    assert sorted(map(len, told)) == [0] * 7 + [1]
    backend = backend_of(settings, follows=False)
    await backend.open()
    try:
        assert backend.local is not None
        assert [(user.username, user.grants) for user in await backend.local.users.page()] == [
            ("admin", ("wsauth:admin",))
        ]
    finally:
        await backend.aclose()


def test_a_bad_first_password_is_a_bad_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable and the reasons, and not the password."""
    monkeypatch.setenv(VARIABLE, "tiny-pw")
    with pytest.raises(ConfigurationError, match=f"^{VARIABLE}: .*15") as caught:
        Factory().prepare(load(tmp_path / "wsauth.toml", {}))
    assert "tiny-pw" not in str(caught.value)
