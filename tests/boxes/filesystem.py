"""The file system of a box: an empty folder, into which this machine's programs are mounted, and nothing else of it.

A box is a process in namespaces of its own. What stands here runs in them, as root, before the process becomes what the
box is for.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["configuration", "devices", "lacks", "loopback", "made", "mount", "programs"]

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def lacks() -> str:
    """Return what this machine lacks for boxes; empty where it lacks nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "boxes take root on Linux"
    if Path(sys.base_prefix) == Path("/usr"):
        return "the Python of a box is another one than the system's"
    probe = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "true"]
    return "" if subprocess.run(probe, check=False).returncode == 0 else "no namespaces can be made here"


def mount(*arguments: object) -> None:
    """Run mount(8)."""
    subprocess.run(["/usr/bin/mount", *map(str, arguments)], check=True)


def made(root: Path, target: str) -> Path:
    """Return a folder of the box, made where it is missing."""
    place = root / target.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    return place


def programs(root: Path, *, writable: bool = False) -> None:
    """Mount programs, libraries and the Python of the tests.

    Args:
        root: the box's folder, which is mounted itself.
        writable: what is written beside Python stays with the box.
    """
    mount("--bind", "-o", "ro", "/usr", made(root, "/usr"))
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink() and not (root / name).is_symlink():
            (root / name).symlink_to(Path("/", name).readlink())
    written, aside = Path(f"{root}.local"), Path(f"{root}.aside")
    for folder in (written, aside):
        folder.mkdir(exist_ok=True)
    layers = f"lowerdir={sys.base_prefix},upperdir={written},workdir={aside}"
    if not writable:
        layers = f"lowerdir={written}:{sys.base_prefix}"
    mount("-t", "overlay", "-o", layers, "overlay", root / "usr/local")
    mount("-t", "proc", "proc", made(root, "/proc"))
    made(root, "tmp").chmod(0o1777)


def devices(root: Path) -> None:
    """Make /dev."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", made(root, "/dev"))
    for name in _DEVICES:
        (root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", root / "dev" / name)


def configuration(root: Path, hosts: Sequence[str] = ()) -> None:
    """Make /etc: no user but root, and this machine's certificates.

    Args:
        root: as above.
        hosts: names that mean the box itself.
    """
    etc = made(root, "/etc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", etc)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    (etc / "nsswitch.conf").write_text("hosts: files dns\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost {' '.join(hosts)}\n")
    shutil.copyfile("/etc/resolv.conf", etc / "resolv.conf")
    # Python's own library is at another place here than where it was built for.
    (etc / "ld.so.conf").write_text("/usr/local/lib\n")
    subprocess.run(["/usr/sbin/ldconfig", "-r", root], check=True)
    mount("--bind", "-o", "ro", "/etc/ssl", made(root, "/etc/ssl"))


def loopback() -> None:
    """Do what `ip link set lo up` does (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
