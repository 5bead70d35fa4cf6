"""Choose which half of the gateway's splice a served process runs: put this folder on PYTHONPATH.

`SPLICE_HALF` is `python`, or the folder into which `scripts/compile` has put the extension. Which one it became is said
on standard error, so that a test can see it.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

SPLICE = "wsauth.gateway.splice"
HALF = os.environ.get("SPLICE_HALF", "")


class Finder:
    """Find the chosen half before anybody else looks."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return where the half is; nothing for any other module."""
        if not name.startswith(SPLICE) or not path:
            return None
        stem = name.rpartition(".")[2]
        found = Path(path[0], f"{stem}.py") if HALF == "python" else next(Path(HALF).glob(f"{stem}.*.so"))
        if name == SPLICE:
            sys.stderr.write(f"the splice is {found.suffix}\n")
        return spec_from_file_location(name, found)


if HALF:
    sys.meta_path.insert(0, Finder)
