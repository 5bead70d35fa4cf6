"""What stands in `deploy/`: the unit under a real systemd, the Dockerfile and compose's services without docker."""

import asyncio
import json
import os
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types

from tests.attacks.wire import PATIENCE, Wire, request
from tests.boxes.container import ROOT, Container, child_of, command_line, entering
from tests.boxes.dockerfile import Image, build, sent, steps
from tests.boxes.filesystem import lacks
from tests.boxes.network import dialled
from tests.boxes.systemd import Systemd, booted, cannot_boot
from tests.leaks import keep
from tests.lifeline import hold, release
from tests.wsauth_server import WSAUTH
from tests.wsauth_sockets import echoes, handshake, new_password, note_secrets
from wsauth.core.units import seconds
from wsauth.serve.process import GRACE
from wsauth.serve.supervisor import MISCONFIGURED
from wsauth.settings import load, warnings

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"
UNIT = (DEPLOY / "wsauth.service").read_text("utf-8")
EXECUTABLE = "/opt/wsauth/bin/wsauth"
LONGEST_DRAIN = 30 + 3 * GRACE
"""Seconds that the server takes to end with the default `drain_timeout`; then it kills its workers itself."""
LARGEST_EXPOSURE = 15
"""Tenths of what `systemd-analyze security` counts, from 0 to 10."""
STARTING = 30.0
_NO_UPGRADE = ("Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version")


# In a box.


@asynccontextmanager
async def connected(pid: int, *parts: bytes, port: int = 8080) -> AsyncGenerator[Wire]:
    """Connect to a port in the box of this process, and send these bytes."""
    reader, writer = await asyncio.open_connection(sock=dialled(pid, port))
    client = Wire(reader, writer)
    try:
        client.send(*parts)
        yield client
    finally:
        writer.transport.abort()


async def logged_in(pid: int, name: str, password: str) -> str:
    """Return an access token, from the server in a box."""
    body = json.dumps({"username": name, "password": password}).encode()
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close")
    head = request("/auth/login", *lines, without=_NO_UPGRADE, start="POST /auth/login HTTP/1.1")
    async with connected(pid, head, body) as client:
        answer = await client.answer()
    assert answer.status == 200, answer
    note_secrets(answer.body.decode())
    token: str = json.loads(answer.body)["access_token"]
    return token


# The unit.


def unit() -> dict[str, list[str]]:
    """Return all values of each key."""
    found: dict[str, list[str]] = {}
    for line in UNIT.splitlines():
        name, mark, value = line.partition("=")
        if mark and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def analyzed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run systemd-analyze."""
    program = Path("/usr/bin/systemd-analyze")
    if not program.exists():
        pytest.skip("systemd-analyze is not here: apt-get install systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds no unknown key, no bad value and no missing program."""
    file = tmp_path / "wsauth.service"
    file.write_text(UNIT.replace(EXECUTABLE, str(WSAUTH)))
    done = analyzed("verify", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text(UNIT.replace(EXECUTABLE, str(WSAUTH)).replace("NoNewPrivileges", "NoNewPrivilege"))
    assert "Unknown key name 'NoNewPrivilege'" in analyzed("verify", str(file)).stderr


def test_the_unit_leaves_little_exposed() -> None:
    """`systemd-analyze security` counts at most 1.5 of 10; each line of the unit that goes missing adds to it."""
    arguments = ("security", "--offline=true", "--no-pager", f"--threshold={LARGEST_EXPOSURE}")
    done = analyzed(*arguments, str(DEPLOY / "wsauth.service"))
    assert done.returncode == 0, done.stdout


def test_the_unit_knows_how_the_server_ends() -> None:
    """It waits for the drain, signals the parent alone, and does not start again what is misconfigured."""
    keys = unit()
    assert keys["Type"] == ["notify"]
    assert float(keys["TimeoutStopSec"][0]) > LONGEST_DRAIN
    assert keys["KillMode"] == ["mixed"]
    assert keys["RestartPreventExitStatus"] == [str(MISCONFIGURED)]
    assert keys["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_the_units_configuration_is_safe_and_keeps_its_data_where_the_unit_says() -> None:
    """Nothing is warned of, and store and key lie in the state directory."""
    (folder,) = unit()["StateDirectory"]
    settings = load(DEPLOY / "wsauth.toml", {})
    assert warnings(settings) == []
    assert settings.store.path == Path("/var/lib", folder, "wsauth.db")
    assert settings.store.key_file == f"/var/lib/{folder}/wsauth.key"


# The image.


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Carry out the Dockerfile."""
    if why := lacks():
        pytest.skip(why)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    cache.mkdir(exist_ok=True)
    return build(DOCKERFILE, ROOT, tmp_path_factory.mktemp("image"), cache)


class Running:
    """Be a container that runs.

    Attributes:
        container: what was started.
        process: what started it.
    """

    def __init__(self, container: Container, process: "subprocess.Popen[bytes]", written: IO[bytes]) -> None:
        self.container = container
        self.process = process
        self._written = written

    @property
    def pid(self) -> int:
        """Return the container's first process, as this machine counts."""
        return child_of(self.process.pid)

    @property
    def output(self) -> str:
        """Return what it wrote so far."""
        return os.pread(self._written.fileno(), 1_000_000, 0).decode()

    async def says(self, pattern: str) -> None:
        """Wait until it wrote this."""
        async with asyncio.timeout(STARTING):
            while not re.search(pattern, self.output, re.MULTILINE):
                assert self.process.poll() is None, self.output
                await asyncio.sleep(0.05)

    async def ended(self) -> int:
        """Wait until it ended, and return its exit status."""
        async with asyncio.timeout(PATIENCE):
            while (status := self.process.poll()) is None:  # noqa: ASYNC110  a process that ends sets no event
                await asyncio.sleep(0.05)
        return status

    def run(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command beside it, as `docker exec` does."""
        line = entering(self.pid, self.container, *command)
        return subprocess.run(line, cwd="/", input=stdin, capture_output=True, text=True, check=False, timeout=STARTING)


@asynccontextmanager
async def running(container: Container) -> AsyncGenerator[Running]:
    """Run a container until the block ends; what it wrote is searched for secrets."""
    with TemporaryFile() as written:
        line = command_line(container)
        process = subprocess.Popen(
            line, cwd=ROOT, env={}, stdin=subprocess.DEVNULL, stdout=written, stderr=written, start_new_session=True
        )
        hold(process.pid)
        found = Running(container, process, written)
        try:
            yield found
        finally:
            process.kill()
            process.wait()
            release(process.pid)
            keep(" ".join(container.command), found.output)


def test_the_builder_is_sent_nothing_but_what_is_copied(tmp_path: Path) -> None:
    """No store, key, configuration, repository or test, wherever it lies (ATTACKS SC-10, SC-11)."""
    wanted = {"pyproject.toml", "uv.lock", "README.md", "LICENSE", "src/wsauth/__init__.py"}
    kept = {
        *("wsauth.key", "wsauth.db", "wsauth.db-wal", "wsauth.toml", ".env", ".git/config", "tests/conftest.py"),
        *("src/wsauth.key", "src/wsauth/wsauth.db", "src/wsauth/__pycache__/x.pyc", "deploy/compose.yaml"),
    }
    for name in wanted | kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    patterns = [name for name, _ in steps(Path(f"{DOCKERFILE}.dockerignore").read_text("utf-8"))]
    assert {str(path) for path in sent(tmp_path, patterns)} == wanted


def test_the_image_has_the_server_and_nothing_that_it_could_change(image: Image) -> None:
    """Beside the base image there is one virtual environment that root owns; no tests, no keys; it runs as a number."""
    assert image.user[0] >= 1000
    assert image.command == ["wsauth", "serve"]
    files = [path for path in (image.root / "opt").rglob("*") if not path.is_symlink()]
    assert {path.relative_to(image.root).parts[:2] for path in files} == {("opt", "wsauth")}
    assert not [path for path in files if path.stat().st_uid != 0 or path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)]
    installed = image.root / "opt/wsauth/lib/python3.11/site-packages"
    assert (installed / "wsauth/serve/process.py").exists()
    assert not {"tests", "pytest", "ruff", "mypy"} & {path.name for path in installed.iterdir()}
    assert not [path for path in files if path.suffix == ".key" or path.name.startswith("wsauth.db")]
    assert [list(image.inside(volume).iterdir()) for volume in image.volumes] == [[], []]


async def test_the_image_asks_who_ends_tls(image: Image) -> None:
    """Started without a word about it, it ends with one line that says what to write."""
    async with running(image.container()) as found:
        assert await found.ended() == MISCONFIGURED
        assert len(found.output.splitlines()) == 1
        assert re.search(r"WSAUTH__SERVER__HOST|server\.host", found.output)
        assert "insecure_plaintext" in found.output


# The services of compose.yaml.


def compose() -> dict[str, Any]:
    """Return the services."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return found


def contained(name: str, image: Image, folder: Path) -> Container:
    """Return the container that compose would make of a service, with its volumes in this folder."""
    service = compose()[name]
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    volumes: dict[str, Path] = {}
    for written in service["volumes"]:
        source, target, *_ = written.split(":")
        volumes[target] = DEPLOY / source if source.startswith(".") else folder / source
        if not source.startswith("."):
            volumes[target].mkdir(exist_ok=True)
    return Container(
        image.root,
        service.get("command", image.command),
        {**image.environ, **service.get("environment", {})},
        image.user,
        image.folder,
        volumes=volumes,
        tmpfs=[written.partition(":")[0] for written in service.get("tmpfs", [])],
        hosts=[each for each in compose() if each != name],
        read_only=service["read_only"],
    )


def image_environ() -> Mapping[str, str]:
    """Return the environment that the Dockerfile's last stage sets."""
    found: dict[str, str] = {}
    for name, value in steps(DOCKERFILE.read_text("utf-8")):
        if name == "FROM":
            found = {}
        elif name == "ENV":
            found |= dict(part.split("=", 1) for part in shlex.split(value))
    return found


def test_compose_and_the_dockerfile_agree() -> None:
    """Each service is built from it and confined; ports, volumes and times fit, and only this machine is let in."""
    told = dict(steps(DOCKERFILE.read_text("utf-8")))
    for name, service in compose().items():
        assert (COMPOSE.parent / service["build"]["context"]).resolve() == ROOT, name
        assert (ROOT / service["build"]["dockerfile"]) == DOCKERFILE, name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
    gateway, backend = compose()["gateway"], compose()["backend"]
    assert gateway["ports"] == [f"127.0.0.1:{told['EXPOSE']}:{told['EXPOSE']}"]
    assert "ports" not in backend
    assert [volume.partition(":")[2] for volume in gateway["volumes"]] == json.loads(told["VOLUME"])
    assert seconds(gateway["stop_grace_period"], "stop_grace_period") > LONGEST_DRAIN


def test_the_gateways_environment_is_a_configuration(tmp_path: Path) -> None:
    """Every variable is a key, store and key lie in volumes of their own, and one risk is taken, by name."""
    (tmp_path / "none.toml").touch()
    settings = load(tmp_path / "none.toml", {**image_environ(), **compose()["gateway"]["environment"]})
    store, key = (Path(volume.partition(":")[2]) for volume in compose()["gateway"]["volumes"])
    assert (settings.store.path.parent, Path(settings.store.key_file).parent) == (store, key)
    assert settings.server.host == "0.0.0.0"  # noqa: S104  compared, not bound
    (risk,) = warnings(settings)
    assert risk.startswith("server.insecure_plaintext = true")
    (route,) = settings.routes
    assert str(route.upstream).partition("://")[2].partition(":")[0] in compose()


async def test_the_gateway_of_compose_serves_its_backend(image: Image, tmp_path: Path) -> None:
    """As nobody with rights, on a file system it cannot write, it is healthy, and the backend greets Alice by name."""
    password = new_password("alice")
    gateway, backend = contained("gateway", image, tmp_path), contained("backend", image, tmp_path)
    async with running(gateway) as front:
        await front.says(r"^wsauth is listening on http://0\.0\.0\.0:8080$")
        async with running(replaced(backend, front.pid)) as behind:
            await eventually_healthy(front)
            added = front.run("wsauth", "users", "add", "alice", "--password-stdin", stdin=f"{password}\n")
            assert added.returncode == 0, added.stderr
            token = await logged_in(front.pid, "alice", password)
            async with connected(front.pid, handshake(token)) as alice:
                assert (await alice.answer()).status == 101, behind.output
                assert await alice.text() == "hello alice"
                assert await echoes(alice)
                confined(front)
                confined(behind)
                os.kill(front.pid, signal.SIGTERM)
                assert (await alice.closed()).close_code == 1012
            assert await front.ended() == 0, front.output
    assert sorted(path.name for path in (tmp_path / "key").iterdir()) == ["wsauth.key"]
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
