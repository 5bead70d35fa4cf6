"""Compile the gateway's splice into the wheel where WSAUTH_COMPILE=1; without it the wheel has Python only."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Put the extension beside its source, which stays: it is what readers and debuggers see."""

    @property
    def compiles(self) -> bool:
        """Tell whether a compiled wheel is asked for."""
        return self.target_name == "wheel" and os.environ.get("WSAUTH_COMPILE") == "1"

    def dependencies(self) -> list[str]:
        """Return what compiles; mypyc builds with setuptools."""
        return ["mypy>=2.4", "setuptools>=80"] if self.compiles else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a folder of our own, so that the checkout stays as it is."""
        if not self.compiles or version == "editable":
            return
        self._folder = TemporaryDirectory(prefix="wsauth-compiled-")
        command = [Path(self.root, "scripts", "compile"), self._folder.name]
        environ = {**os.environ, "PYTHON_BIN": sys.executable}
        subprocess.run(command, env=environ, check=True)  # noqa: S603  it is our own script
        built = Path(self._folder.name).glob("*.so")
        build_data["force_include"] |= {str(path): f"wsauth/gateway/{path.name}" for path in built}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove that folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
