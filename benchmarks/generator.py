"""Build the programs of `load/`, and run the load generator."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import programs

CORE = 1
"""The generator's core; the servers have core 0."""

SOURCES = Path(__file__).parent / "load"


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator saw: counts, seconds, microseconds."""

    count: int
    seconds: float
    cpu_seconds: float
    p50_us: int
    p99_us: int
    errors: dict[str, int]


def build(name: str, folder: Path) -> Path:
    """Return the path of the program made of `load/<name>.c`, compiled anew when a source is newer.

    Raises:
        ProgramMissing: it cannot be built here.
    """
    program, source = folder / name, SOURCES / f"{name}.c"
    newest = max(path.stat().st_mtime for path in (source, *SOURCES.glob("*.h")))
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    folder.mkdir(parents=True, exist_ok=True)
    command = [programs.program("gcc"), "-O2", "-std=c11", "-Wall", "-Wextra", "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise programs.ProgramMissing(f"gcc could not build {source}: {done.stderr.strip()[:2000]}")
    return program


def start(program: Path, mode: str, port: int, **options: object) -> subprocess.Popen[str]:
    """Start the generator on its core; options are its command line's (`once=True` is a bare flag)."""
    command = [str(program), mode, "--port", str(port)]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {CORE})
    return process


def finish(process: subprocess.Popen[str]) -> Load:
    """Wait for a generator's end (at most its own limits) and return what it saw."""
    output, _ = process.communicate(timeout=700)
    if process.returncode:
        sys.exit(f"wsload ended with status {process.returncode}")
    return Load(**json.loads(output))


def run(program: Path, mode: str, port: int, **options: object) -> Load:
    """Run the generator to its end."""
    return finish(start(program, mode, port, **options))
