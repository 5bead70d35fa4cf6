"""A real systemd, booted in a box for one service.

Run as `python -m tests.boxes.systemd JSON` in new namespaces.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.boxes.container import ROOT, child_of
from tests.boxes.filesystem import configuration, devices, loopback, made, mount, programs
from tests.lifeline import hold, release

__all__ = ["Systemd", "booted", "cannot_boot"]

_SYSTEMD = "/usr/lib/systemd/systemd"
_PATIENCE = 20.0
_TARGET = "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n"
_GROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


class Systemd:
    """Be a systemd that runs.

    Attributes:
        pid: of its first process, as this machine counts.
        root: its files.
    """

    def __init__(self, pid: int, root: Path) -> None:
        self.pid = pid
        self.root = root

    def run(self, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command in the box, as root."""
        spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd=/"]
        path = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        line = ["nsenter", f"--target={self.pid}", *spaces, "env", "-i", path, "SYSTEMD_PAGER=", *command]
        return subprocess.run(line, cwd="/", input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def shows(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()


def cannot_boot() -> str:
    """Return what this machine lacks for it; empty where it lacks nothing."""
    if not Path(_SYSTEMD).exists():
        return "systemd is not here: apt-get install systemd"
    return "" if _group() else "there are no control groups of version 2"


@contextmanager
def booted(root: Path, files: Mapping[str, str], installed: Mapping[str, Path]) -> Generator[Systemd]:
    """Boot until the block ends.

    Args:
        root: a folder to make, for the box's own files.
        files: what stands in its /etc beside what every box has: path in /etc → text.
        installed: where in the box → folder of this machine, which cannot be written there.
    """
    above = _group()
    assert above is not None, cannot_boot()
    group = above / f"wsauth-tests-{os.getpid()}"
    group.mkdir()
    spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child"]
    told = json.dumps({"root": str(root), "files": dict(files), "installed": dict(installed)}, default=str)
    # What is in the group before its namespace is made sees nothing above it.
    line = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', f"{group}/cgroup.procs", "unshare", *spaces]
    starter = subprocess.Popen([*line, sys.executable, "-m", __name__, told], cwd=ROOT, env={}, start_new_session=True)
    hold(starter.pid)
    try:
        yield _ready(starter, root)
    finally:
        starter.kill()
        starter.wait()
        release(starter.pid)
        _remove(group)


def _ready(starter: "subprocess.Popen[bytes]", root: Path) -> Systemd:
    until = time.monotonic() + _PATIENCE
    while starter.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
        try:
            found = Systemd(child_of(starter.pid), root)
        except (OSError, IndexError):
            continue
        if found.run("systemctl", "is-active", "box.target").stdout == "active\n":
            return found
    raise RuntimeError("systemd did not start")


def _group() -> Path | None:
    return next((each for each in _GROUPS if (each / "cgroup.procs").exists()), None)


def _remove(group: Path) -> None:
    """Remove the group, once the kernel has buried what was in it."""
    until = time.monotonic() + _PATIENCE
    while group.exists() and time.monotonic() < until:
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                time.sleep(0.05)


def _main(told: dict[str, Any]) -> None:
    root = Path(told["root"])
    loopback()
    root.mkdir()
    mount("--bind", root, root)
    programs(root)
    devices(root)
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", made(root, "/dev/pts"))
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    for folder in ("dev/shm", "dev/mqueue", "dev/hugepages", "home", "root", "old"):
        made(root, folder)
    for folder in ("run", "var/tmp"):
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", made(root, folder))
    mount("-t", "sysfs", "-o", "ro", "sysfs", made(root, "/sys"))
    mount("-t", "cgroup2", "cgroup2", root / "sys/fs/cgroup")
    configuration(root)
    for target, source in told["installed"].items():
        mount("--bind", "-o", "ro", source, made(root, target))
    for name, text in {"machine-id": f"{'0' * 31}1\n", "systemd/system/box.target": _TARGET, **told["files"]}.items():
        made(root, f"/etc/{Path(name).parent}")
        (root / "etc" / name).write_text(text)
    # systemd gives services namespaces of their own, which takes a root that is one, and not one by chroot(2).
    os.chdir(root)
    subprocess.run(["/usr/sbin/pivot_root", ".", "old"], check=True)
    os.chdir("/")
    for arguments in (["/usr/bin/umount", "--lazy", "/old"], ["/usr/bin/mount", "--make-rshared", "/"]):
        subprocess.run(arguments, check=True)
    line = ["systemd", "--system", "--unit=box.target", "--log-target=null"]
    os.execve(_SYSTEMD, line, {"container": "other"})  # noqa: S606  it becomes systemd


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
