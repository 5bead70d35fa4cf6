"""tests.lifeline: what the tests started ends with them, even when they are killed."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

STARTING = """
import subprocess, sys, time
from tests.lifeline import hold, release
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
started = [subprocess.Popen(sleep, stdout=subprocess.DEVNULL, start_new_session=True) for _ in "ab"]
for each in started:
    hold(each.pid)
release(started[1].pid)
print(*(each.pid for each in started), flush=True)
time.sleep(60)
"""


async def test_who_is_held_ends_with_the_tests_and_who_was_released_does_not() -> None:
    """After SIGKILL of the run, a process in the book is killed with it, and one that was taken out lives on."""
    run = await create_subprocess_exec(
        sys.executable, "-c", STARTING, cwd=Path(__file__).parents[2], stdout=PIPE, start_new_session=True
    )
    assert run.stdout is not None
    held, released = [int(pid) for pid in (await run.stdout.readline()).split()]
    try:
        run.kill()
        await run.wait()
        async with asyncio.timeout(10):
            while lives(held):  # noqa: ASYNC110  the process is nobody's child here
                await asyncio.sleep(0.02)
        assert lives(released)
    finally:
        os.killpg(released, signal.SIGKILL)


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected by a lazy init does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(") ")[2][0] != "Z"
