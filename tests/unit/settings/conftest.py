"""What the tests of the configuration share."""

from pathlib import Path

import pytest

from tests.unit.settings.reading import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return an empty folder."""
    return Folder(tmp_path)
