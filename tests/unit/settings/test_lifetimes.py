"""No credential of ours outlives what is remembered about its end."""

import pytest

from tests.unit.settings.reading import Folder

DAY = 86_400.0


@pytest.mark.parametrize("name", ["access_ttl", "ticket_ttl"])
@pytest.mark.parametrize("value", ["25h", "86401s", "2d", "1441m"])
def test_over_a_day_is_refused(folder: Folder, name: str, value: str) -> None:
    """A revocation is kept for 24 h, so what would live longer is refused in one line that says what to write."""
    line = folder.refused(f'[tokens]\n{name} = "{value}"')
    assert line.startswith(f"{folder.file}: tokens.{name} is over 24h")
    assert f"write {name} = '24h'" in line
    folder.load(f"[tokens]\n{name} = '24h'")


@pytest.mark.parametrize("name", ["access_ttl", "ticket_ttl"])
@pytest.mark.parametrize("value", ["24h", "1d", "86400s", "5m"])
def test_a_day_is_taken(folder: Folder, name: str, value: str) -> None:
    """Up to a day it may be."""
    assert 0 < getattr(folder.load(f'[tokens]\n{name} = "{value}"').tokens, name) <= DAY


def test_the_environment_is_no_way_around(folder: Folder) -> None:
    """What stands in a variable is refused too, and the variable is named."""
    assert "WSAUTH__TOKENS__ACCESS_TTL" in folder.refused("", {"WSAUTH__TOKENS__ACCESS_TTL": "25h"})


def test_sessions_may_live_longer(folder: Folder) -> None:
    """A session is looked up and not only remembered as ended."""
    tokens = folder.load('[tokens]\nrefresh_ttl = "7d"\nsession_ttl = "90d"').tokens
    assert (tokens.refresh_ttl, tokens.session_ttl) == (7 * DAY, 90 * DAY)
