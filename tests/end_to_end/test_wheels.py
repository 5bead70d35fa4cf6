"""What is published: an sdist, a wheel for everybody, and one with the compiled splice; installed, and imported."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.splices import ROOT

ABOUT = """
import json, wsauth, wsauth.gateway.splice as splice
from importlib.metadata import version
print(json.dumps([wsauth.__file__, splice.__file__, splice.Follower(True, 10, False).follow(b"\\x81\\x80abcd").hex(),
                  version("wsauth")]))
"""


@pytest.fixture(scope="module")
def uv() -> str:
    """Find uv, as scripts/install does."""
    found = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    if not Path(found).exists():
        pytest.skip("uv is not here: make install")
    return found


@pytest.fixture(scope="module")
def dist(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all of them, as `make wheels` does."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "scripts" / "wheels", folder], check=True, cwd=ROOT)
    return folder


def pure(dist: Path) -> Path:
    """Return the wheel that has Python only."""
    (found,) = dist.glob("wsauth-*-py3-none-any.whl")
    return found


def compiled(dist: Path) -> Path:
    """Return the wheel for this Python on this machine."""
    found = [wheel for wheel in dist.glob("wsauth-*.whl") if "-none-any" not in wheel.name]
    if not found:
        pytest.skip("no compiled wheel was built: apt-get install gcc libc6-dev python3-dev")
    (one,) = found
    return one


def installed(uv: str, wheel: Path, folder: Path) -> list[str]:
    """Install a wheel with the server's packages into an environment of its own, import it, and say what it is."""
    locked = folder / "locked.txt"
    export = ["export", "--quiet", "--frozen", "--no-emit-project", "--no-hashes", "--all-extras", "--no-dev"]
    with locked.open("w") as file:
        subprocess.run([uv, *export], check=True, cwd=ROOT, stdout=file)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    install = ["pip", "install", "--quiet", "--python", str(python), "--constraint", str(locked), f"{wheel}[server]"]
    subprocess.run([uv, *install], check=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WSAUTH"))}
    done = subprocess.run([python, "-c", ABOUT], check=True, capture_output=True, text=True, cwd=folder, env=clean)
    subprocess.run([python.with_name("wsauth"), "--version"], check=True, cwd=folder, env=clean)
    said: list[str] = json.loads(done.stdout)
    return said


def names(wheel: Path) -> set[str]:
    """Return the files of a wheel."""
    with ZipFile(wheel) as file:
        return set(file.namelist())


def test_the_wheel_for_everybody(uv: str, dist: Path, tmp_path: Path) -> None:
    """The pure wheel is imported from where it was installed, and its splice is plain Python."""
    wheel = pure(dist)
    package, splice, followed, version = installed(uv, wheel, tmp_path)
    assert Path(package).is_relative_to(tmp_path)
    assert splice.endswith("splice.py")
    assert followed == b"\x81\x80abcd".hex()
    assert wheel.name.startswith(f"wsauth-{version}-")
    assert not [name for name in names(wheel) if name.endswith(".so")]


def test_the_compiled_wheel(uv: str, dist: Path, tmp_path: Path) -> None:
    """The compiled wheel's splice is the extension, with its source beside it."""
    wheel = compiled(dist)
    package, splice, followed, _ = installed(uv, wheel, tmp_path)
    assert Path(package).is_relative_to(tmp_path)
    assert splice.endswith(".so")
    assert followed == b"\x81\x80abcd".hex()
    built = sorted(name.rpartition("/")[2].partition(".")[0] for name in names(wheel) if name.endswith(".so"))
    assert built == ["splice", "splice__mypyc"]
    assert {name for name in names(wheel) if not name.endswith(".so")} == names(pure(dist))


@pytest.mark.parametrize("which", [pure, compiled], ids=lambda which: which.__name__)
def test_a_wheel_has_what_users_need_and_nothing_else(dist: Path, which: Callable[[Path], Path]) -> None:
    """Types, pages, migrations and the licence are there; tests, benchmarks, deployment and scripts are not."""
    found = names(which(dist))
    tops = {name.partition("/")[0] for name in found}
    assert len(tops) == 2
    assert tops - {"wsauth"} == {next(top for top in tops if top.endswith(".dist-info"))}
    assert "wsauth/py.typed" in found
    assert "wsauth/browser/wsauth.js" in found
    assert any(name.startswith("wsauth/demo/page/") for name in found)
    assert any(name.startswith("wsauth/stores/migrations/") for name in found)
    assert any(name.endswith("/licenses/LICENSE") for name in found)
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "wsauth").rglob("*.py")}
    assert sources <= found


def test_the_sdist_builds_alone(dist: Path) -> None:
    """The sdist has what the wheels are made of: sources, the hook, the compiler's script."""
    (sdist,) = dist.glob("wsauth-*.tar.gz")
    with tarfile.open(sdist) as file:
        found = {name.partition("/")[2] for name in file.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "scripts/compile", "README.md", "LICENSE"} <= found
    assert not [name for name in found if "node_modules" in name or name.endswith((".so", ".db", ".key"))]
