"""A configuration file, written and read."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from wsauth.errors import ConfigurationError
from wsauth.settings import Settings, load

__all__ = ["Folder"]


class Folder:
    """Be a folder with a configuration file in it.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "wsauth.toml"

    def load(
        self, toml: str = "", environ: Mapping[str, str] | None = None, options: Mapping[str, object] | None = None
    ) -> Settings:
        """Write the file and load it."""
        self.file.write_text(toml, "utf-8")
        return load(self.file, environ or {}, options)

    def outcome(self, toml: str, environ: Mapping[str, str] | None = None) -> str:
        """Return what is said of a configuration; nothing where it is good."""
        try:
            self.load(toml, environ)
        except ConfigurationError as error:
            return str(error)
        return ""

    def refused(
        self, toml: str = "", environ: Mapping[str, str] | None = None, options: Mapping[str, object] | None = None
    ) -> str:
        """Return the one line that says why this is no configuration."""
        with pytest.raises(ConfigurationError) as caught:
            self.load(toml, environ, options)
        line = str(caught.value)
        assert "\n" not in line
        return line
