"""The package says truly what it is."""

import tomllib
from importlib.metadata import version
from pathlib import Path


def test_installed_version_is_the_projects() -> None:
    """What is installed carries the version that pyproject.toml names."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version("wsauth") == project["version"]
