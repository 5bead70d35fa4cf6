"""What the tests find on this machine, and the rule that nothing is skipped where CI=true."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from tests.leaks import SECRETS, WRITTEN, leaks
from tests.splices import SOURCE, CannotCompile, compile_into, compiled, interpreted

CI = os.environ.get("CI", "").lower() in {"1", "true"}
NODE_TESTS = Path(__file__).parent / "node"

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if CI else "local")

# Whoever starts the tests in the background of a shell has SIGINT ignored, and every child inherits that: then Ctrl-C,
# which some tests send, would do nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stale(source: Path) -> list[Path]:
    """Return the compiled modules beside a source that are not newer than it: they would be run without a word."""
    changed = source.stat().st_mtime
    return [built for built in source.parent.glob(f"{source.stem}*.so") if built.stat().st_mtime <= changed]


def pytest_configure() -> None:
    """Refuse to test a compiled module of an older source."""
    if found := stale(SOURCE):
        names = ", ".join(path.name for path in found)
        raise pytest.UsageError(f"{names}: older than {SOURCE.name}; run make compile, or delete them")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case after its argument where the value is drawn by chance: all processes must collect the same names."""
    drawn = isinstance(val, bytes) or (isinstance(val, str) and len(val) >= 30 and " " not in val)
    return argname if drawn else None


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (nothing may be skipped where CI=true)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that would be skipped where CI=true; an expected failure stays one."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that would be skipped as a whole where CI=true."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def _nothing_leaks() -> Generator[None]:
    """Search all that served processes wrote in the run; made first, so that it ends when all of them have."""
    yield
    if found := leaks(WRITTEN, SECRETS):
        pytest.fail("\n".join(found), pytrace=False)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio, the loop that every server here uses."""
    return "asyncio"


def _executable(*names: str, package: str) -> Path:
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    pytest.skip(f"none of {', '.join(names)} is here: apt-get install {package}")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Find a headless Chromium; WSAUTH_CHROMIUM names another one."""
    if named := os.environ.get("WSAUTH_CHROMIUM"):
        return _executable(named, package="chromium-headless-shell, or mend WSAUTH_CHROMIUM")
    return _executable("chromium-headless-shell", "chromium", package="chromium-headless-shell")


@pytest.fixture(scope="session")
def curl() -> Path:
    """Find curl."""
    return _executable("curl", package="curl")


@pytest.fixture(scope="session")
def node() -> Path:
    """Find node 20 or newer, with the npm packages of tests/node installed (run scripts from there)."""
    found = _executable("node", package="nodejs")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < 20:
        pytest.skip(f"node {version} is older than 20")
    wanted = json.loads((NODE_TESTS / "package.json").read_text())["dependencies"]
    if missing := [name for name in wanted if not (NODE_TESTS / "node_modules" / name).is_dir()]:
        pytest.skip(f"not in tests/node/node_modules: {', '.join(missing)}: npm ci --prefix tests/node")
    return found


@pytest.fixture(scope="session")
def compiled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the gateway's splice, once for the whole run, and say where it is."""
    try:
        return compile_into(tmp_path_factory.mktemp("splice"))
    except CannotCompile as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=["python", "compiled"])
def splice(request: pytest.FixtureRequest) -> ModuleType:
    """Give each half of the gateway's splice in turn; nothing may tell them apart."""
    if request.param == "python":
        return interpreted()
    return compiled(request.getfixturevalue("compiled_folder"))
