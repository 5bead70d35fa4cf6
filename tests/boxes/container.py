"""A container without docker: a process that sees its image and its volumes, with a network of its own.

Run as `python -m tests.boxes.container JSON` in new namespaces.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.boxes.filesystem import configuration, devices, loopback, made, mount, programs

__all__ = ["ROOT", "Container", "child_of", "command_line", "entering", "run"]

ROOT = Path(__file__).parents[2]
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_LAST_CAPABILITY = 63


@dataclass(frozen=True)
class Container:
    """Say what runs, as `docker run` would be told.

    Attributes:
        root: the image's own files.
        command: what runs.
        environ: all of its environment.
        user: numbers of user and group.
        folder: where it runs.
        volumes: where in the container → folder of this machine that can be written, or file that cannot.
        tmpfs: folders in memory.
        hosts: names of the others in its network.
        read_only: nothing but volumes and `tmpfs` can be written.
        building: a step of a Dockerfile: with all rights, and with this machine's network.
        network: the process whose network it shares; 0 for one of its own.
    """

    root: Path
    command: Sequence[str]
    environ: Mapping[str, str]
    user: tuple[int, int] = (0, 0)
    folder: str = "/"
    volumes: Mapping[str, Path] = field(default_factory=dict)
    tmpfs: Sequence[str] = ()
    hosts: Sequence[str] = ()
    read_only: bool = False
    building: bool = False
    network: int = 0


def command_line(container: Container) -> list[str]:
    """Return what starts a container, in `ROOT`; killing that process ends everything in it."""
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if container.network:
        spaces = ["nsenter", f"--net=/proc/{container.network}/ns/net", *spaces]
    elif not container.building:
        spaces.append("--net")
    return [*spaces, sys.executable, "-m", __name__, json.dumps(asdict(container), default=str)]


def run(container: Container) -> str:
    """Run a container to its end, which must be a good one, and return what it wrote."""
    done = subprocess.run(command_line(container), cwd=ROOT, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, f"{container.command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def child_of(pid: int) -> int:
    """Return the first process in the box that this process started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def entering(pid: int, container: Container, *command: str) -> list[str]:
    """Return what runs a command beside this process of a container, as `docker exec` does."""
    user, group = container.user
    spaces = ["nsenter", f"--target={pid}", "--mount", "--pid", "--net", "--root", f"--wd=/proc/{pid}/cwd"]
    rights = ["--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    environ = [f"{name}={value}" for name, value in container.environ.items()]
    return [*spaces, "setpriv", f"--reuid={user}", f"--regid={group}", *rights, "env", "-i", *environ, *command]


def _main(told: dict[str, Any]) -> None:
    root, building = Path(told["root"]), told["building"]
    if not building and not told["network"]:
        loopback()
    mount("--bind", root, root)
    programs(root, writable=building)
    devices(root)
    configuration(root, told["hosts"])
    for target in told["tmpfs"]:
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", made(root, target))
    for target, source in told["volumes"].items():
        _volume(root, target, Path(source))
    if told["read_only"]:
        for target in ("/etc", "/dev", ""):
            mount("-o", "remount,bind,ro", f"{root}{target}")
    os.chroot(root)
    os.chdir(told["folder"])
    if not building:
        _drop(*told["user"])
    os.umask(0o022)
    os.execvpe(told["command"][0], told["command"], told["environ"])  # noqa: S606  it becomes the command


def _volume(root: Path, target: str, source: Path) -> None:
    """Mount a file, or a folder, which while it is empty becomes the image's, as docker's volumes do."""
    place = root / target.lstrip("/")
    if source.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        mount("--bind", "-o", "ro", source, place)
        return
    made(root, target)
    if not any(source.iterdir()):
        found = place.stat()
        os.chown(source, found.st_uid, found.st_gid)
        source.chmod(found.st_mode)
    mount("--bind", source, place)


def _drop(user: int, group: int) -> None:
    """Become somebody without rights, who cannot get any: `--cap-drop ALL` and `no-new-privileges`."""
    kernel = ctypes.CDLL(None, use_errno=True)
    for capability in range(_LAST_CAPABILITY + 1):
        kernel.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    if kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
