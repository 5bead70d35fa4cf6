"""What stands in `deploy/`: the unit under a real systemd, the Dockerfile and compose's services without docker."""

import json
import os
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types

from tests.boxes.container import ROOT, Container
from tests.boxes.dockerfile import Image, build, sent, steps
from tests.boxes.filesystem import lacks
from tests.boxes.running import Running, connected, logged_in, running
from tests.boxes.systemd import Systemd, booted, cannot_boot
from tests.leaks import keep
from tests.wsauth_server import WSAUTH
from tests.wsauth_sockets import echoes, handshake, new_password
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
LARGEST_EXPOSURE = 14
"""Tenths of what `systemd-analyze security` counts, from 0 to 10."""
SERVICE_DROP_IN = "[Unit]\nDefaultDependencies=no\n\n[Service]\nStandardError=append:/run/wsauth.log\n"
"""What the unit needs where nothing else is booted, and nobody keeps a journal."""


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
    assert "Unknown key 'NoNewPrivilege'" in analyzed("verify", str(file)).stderr


def test_the_unit_leaves_little_exposed() -> None:
    """`systemd-analyze security` counts at most 1.4, of 10 for a unit that confines nothing."""
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


def test_the_builder_is_sent_nothing_but_what_is_copied(tmp_path: Path) -> None:
    """No store, key, configuration, repository or test, wherever it lies (ATTACKS SC-10, SC-11)."""
    wanted = {"pyproject.toml", "uv.lock", "README.md", "LICENSE", "hatch_build.py", "src/wsauth/__init__.py"}
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
    assert not [
        path for path in files if path.stat().st_uid != 0 or path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ]
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
    """Every variable is a key, store and key lie in volumes of their own, and the risks that it takes are warned of."""
    (tmp_path / "none.toml").touch()
    settings = load(tmp_path / "none.toml", {**image_environ(), **compose()["gateway"]["environment"]})
    store, key = (Path(volume.partition(":")[2]) for volume in compose()["gateway"]["volumes"])
    assert (settings.store.path.parent, Path(settings.store.key_file).parent) == (store, key)
    assert settings.server.host == "0.0.0.0"  # noqa: S104  compared, not bound
    outside, inside = warnings(settings)
    assert outside.startswith("server.insecure_plaintext = true")
    assert inside.startswith("routes[0].upstream = ws://backend:9000")
    (route,) = settings.routes
    assert str(route.upstream).partition("://")[2].partition(":")[0] in compose()


def is_confined(found: Running) -> None:
    """Check that it is nobody, cannot become somebody, and writes nowhere but in its volumes."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{found.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == ["65532"] * 4
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")] == [0] * 4
    assert status["NoNewPrivs"] == "1"
    for place in ("/x", "/opt/wsauth/x", "/etc/x", "/usr/x", "/srv/x", "/dev/x"):
        assert "Read-only file system" in found.run("touch", place).stderr, place


async def test_the_gateway_of_compose_serves_its_backend(image: Image, tmp_path: Path) -> None:
    """As nobody with rights, on a file system it cannot write, it is healthy, and the backend greets Alice by name."""
    password = new_password("alice")
    gateway, backend = contained("gateway", image, tmp_path), contained("backend", image, tmp_path)
    async with running(gateway) as front:
        await front.says(r"^wsauth is listening on http://0\.0\.0\.0:8080$")
        async with running(replace(backend, network=front.pid)) as behind:
            assert front.run(*compose()["gateway"]["healthcheck"]["test"][1:]).returncode == 0
            added = front.run("wsauth", "users", "add", "alice", "--password-stdin", stdin=f"{password}\n")
            assert added.returncode == 0, added.stderr
            token = await logged_in(front.pid, "alice", password)
            async with connected(front.pid, handshake(token)) as alice:
                assert (await alice.answer()).status == 101, behind.output
                assert await alice.text() == "hello alice"
                assert await echoes(alice)
                for each in (front, behind):
                    is_confined(each)
                os.kill(front.pid, signal.SIGTERM)
                assert (await alice.closed()).close_code == 1012
            assert await front.ended() == 0, front.output
    assert sorted(path.name for path in (tmp_path / "key").iterdir()) == ["wsauth.key"]
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


# The unit under systemd.


def service(image: Image, folder: Path, config: str) -> AbstractContextManager[Systemd]:
    """Boot systemd with the unit as it is, and this configuration."""
    if why := cannot_boot():
        pytest.skip(why)
    files = {
        "systemd/system/wsauth.service": UNIT,
        "systemd/system/wsauth.service.d/box.conf": SERVICE_DROP_IN,
        "wsauth/wsauth.toml": config,
    }
    return booted(folder, files, {"/opt/wsauth": image.root / "opt/wsauth"})


async def test_the_unit_runs_under_systemd(image: Image, tmp_path: Path) -> None:
    """Confined, it starts when it is ready, signs Alice in and holds her socket, reloads, and stops in order."""
    password = new_password("alice")
    config = re.sub('upstream = ".*"', 'upstream = "echo"', (DEPLOY / "wsauth.toml").read_text("utf-8"))
    with service(image, tmp_path / "box", config) as machine:
        started = machine.run("systemctl", "start", "wsauth")
        log = machine.run("cat", "/run/wsauth.log").stdout
        assert started.returncode == 0, (started.stderr, log)
        assert "wsauth is listening on http://127.0.0.1:8080" in log
        assert machine.shows("wsauth", "StatusText")
        command = (EXECUTABLE, "users", "add", "alice", "--config", "/etc/wsauth/wsauth.toml", "--password-stdin")
        assert machine.run(*command, stdin=f"{password}\n").returncode == 0
        token = await logged_in(machine.pid, "alice", password)
        async with connected(machine.pid, handshake(token)) as alice:
            assert (await alice.answer()).status == 101
            assert await echoes(alice)
            assert machine.run("systemctl", "reload", "wsauth").returncode == 0
            assert machine.shows("wsauth", "ActiveState") == "active"
            assert await echoes(alice)
            assert machine.run("systemctl", "stop", "wsauth").returncode == 0
            assert (await alice.closed()).close_code == 1012
        found = [machine.shows("wsauth", name) for name in ("ActiveState", "Result", "ExecMainStatus")]
        log = machine.run("cat", "/run/wsauth.log").stdout
        keep("wsauth under systemd", log)
        assert found == ["inactive", "success", "0"], log
        assert "Traceback" not in log


def test_systemd_does_not_start_again_what_is_misconfigured(image: Image, tmp_path: Path) -> None:
    """A key that nobody knows ends it with 2, once, and the log names the key."""
    with service(image, tmp_path / "box", "[server]\nprot = 1\n") as machine:
        assert machine.run("systemctl", "start", "wsauth").returncode != 0
        found = [machine.shows("wsauth", name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
        assert found == ["failed", "2", "0"]
        assert "prot" in machine.run("cat", "/run/wsauth.log").stdout
