"""Know which programs the benchmarks need, and say which are missing."""

import shutil
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

PACKAGES = {"gcc": "gcc libc6-dev", "nginx": "nginx", "haproxy": "haproxy"}
"""Program → the packages of Debian that have it."""

SPLICE = "wsauth.gateway.splice"


class ProgramMissing(Exception):
    """Programs are not here, or cannot be built; the text says which, and how to get them."""


def find(name: str) -> str | None:
    """Return the path of a program, also of one that only root has on PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def program(name: str) -> str:
    """Return the path of a program.

    Raises:
        ProgramMissing: it is not here.
    """
    found = find(name)
    if found is None:
        raise ProgramMissing(_lacking([name]))
    return found


def check(names: Iterable[str]) -> None:
    """Be sure that all of these are here.

    Raises:
        ProgramMissing: some are not.
    """
    lacking = [name for name in names if find(name) is None]
    if lacking:
        raise ProgramMissing(_lacking(lacking))


def is_compiled() -> bool:
    """Tell whether `splice` would be imported as the module that mypyc made of its source as it is now."""
    found = find_spec(SPLICE)
    if found is None or not str(found.origin).endswith(tuple(EXTENSION_SUFFIXES)):
        return False
    module = Path(str(found.origin))
    return module.stat().st_mtime >= module.with_name("splice.py").stat().st_mtime


def _lacking(names: list[str]) -> str:
    packages = " ".join(PACKAGES[name] for name in names)
    return f"not installed: {', '.join(names)}; on Debian: apt-get install {packages}"
