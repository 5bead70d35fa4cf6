"""Serve as `wsauth serve` does, with one half of `splice` chosen and perhaps another issuer's tokens.

`python -m benchmarks.gateway.serve wsauth.toml compiled|python own|foreign`. With `BENCH_PROFILE` in the environment
samples are taken between SIGUSR1 and SIGUSR2, and then written to that file.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from benchmarks.gateway.sampling import Sampler
from benchmarks.programs import SPLICE, is_compiled

FACTORIES = {"own": "wsauth.server.factory:factory", "foreign": "benchmarks.gateway.foreign:factory"}


class Interpreted:
    """Find the source of `splice` also where there is a compiled module beside it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where the source is; nothing for any other module."""
        return spec_from_file_location(name, Path(path[0]) / "splice.py") if name == SPLICE and path else None


def choose(half: str) -> None:
    """Import the compiled module, or the source; end where there is only the other one."""
    if half == "python":
        sys.meta_path.insert(0, Interpreted)
    elif not is_compiled():
        sys.exit("splice is not compiled, or was before its source was changed: make compile")
    if half == "python" and not str(import_module(SPLICE).__file__).endswith(".py"):
        sys.exit("splice was imported as compiled")


def main(config: str, half: str, issuer: str) -> int:
    """Serve until a signal."""
    choose(half)
    from wsauth.serve import run
    from wsauth.settings import load

    if path := os.environ.get("BENCH_PROFILE"):
        Sampler(path)
    return run(load(Path(config), os.environ), FACTORIES[issuer])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
