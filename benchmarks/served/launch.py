"""Become another program on one core, which ends when whoever started it ends: `launch.py CORE PROGRAM …`."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2); it survives the exec."""


def main(core: int, command: list[str]) -> None:
    """Replace this process by the program."""
    os.sched_setaffinity(0, {core})
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
