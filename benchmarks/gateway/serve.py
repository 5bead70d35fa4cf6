"""Serve as `wsauth serve` does, with one half of `splice` chosen and perhaps another issuer's tokens.

`python -m benchmarks.gateway.serve wsauth.toml compiled|python own|foreign`. With `BENCH_PROFILE` in the environment
samples are taken between SIGUSR1 and SIGUSR2, and then written to that file.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from benchmarks.gateway.sampling import Sampler

SPLICE = "wsauth.gateway.splice"
FACTORIES = {"own": "wsauth.server.factory:factory", "foreign": "benchmarks.gateway.foreign:factory"}


class Interpreted:
    """Find the source of `splice` also where there is a compiled module beside it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where the source is; nothing for any other module."""
        return spec_from_file_location(name, Path(path[0]) / "splice.py") if name == SPLICE and path else None


def choose(half: str) -> None:
    """Have the compiled module imported, or the source."""
    if half == "python":
        sys.meta_path.insert(0, Interpreted)
        return
    found = find_spec(SPLICE)
    if found is None or not str(found.origin).endswith(tuple(EXTENSION_SUFFIXES)):
        sys.exit("splice is not compiled: make compile")


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
