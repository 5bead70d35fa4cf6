"""The two halves of the gateway's splice: its source as plain Python, and the extension that mypyc makes of it."""

import subprocess
import sys
from importlib.machinery import ExtensionFileLoader, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["ROOT", "SOURCE", "CannotCompile", "compile_into", "compiled", "interpreted"]

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "wsauth" / "gateway" / "splice.py"
_NAME = "wsauth.gateway.splice"
_INNER = f"{_NAME}__mypyc"
"""What the extension really is; the other file only leads there."""


class CannotCompile(Exception):
    """Something that the compiler needs is not here; the text says what, and how to get it."""


def interpreted() -> ModuleType:
    """Return the source, run as it stands, whatever lies beside it."""
    return _loaded(_NAME, SOURCE, SourceFileLoader(_NAME, str(SOURCE)))


def compile_into(folder: Path) -> Path:
    """Build the extension into this folder, and return it.

    Raises:
        CannotCompile: it cannot be built here.
    """
    built = subprocess.run(
        [ROOT / "scripts" / "compile", folder], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if built.returncode:
        if "is missing" in built.stderr:
            raise CannotCompile(built.stderr.strip())
        raise RuntimeError(f"scripts/compile failed:\n{built.stderr}")
    return folder


def compiled(folder: Path) -> ModuleType:
    """Return the extension that was built into this folder, whatever the program itself has imported."""
    inner, outer = sorted(folder.glob("splice*.so"), key=lambda path: "__mypyc" not in path.name)
    # What mypyc makes finds and leaves itself among the imported modules, where the program's own half stays.
    before = {name: sys.modules.pop(name) for name in (_NAME, _INNER) if name in sys.modules}
    try:
        sys.modules[_INNER] = _loaded(_INNER, inner, ExtensionFileLoader(_INNER, str(inner)))
        return _loaded(_NAME, outer, ExtensionFileLoader(_NAME, str(outer)))
    finally:
        for name in (_NAME, _INNER):
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _loaded(name: str, path: Path, loader: SourceFileLoader | ExtensionFileLoader) -> ModuleType:
    spec = spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
