"""Say where the time of a connect, rejection or message goes: `python -m benchmarks.gateway.profile LOAD [SECONDS]`.

perf says how much of it is the kernel's, Python's and the libraries' (it is left out where it is missing); samples of
the running server say which of our functions it is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway.measure import MIXED, TALKERS, Load, Meter, Size
from benchmarks.gateway.process import PATIENCE, Gateway
from benchmarks.gateway.sampling import BEGIN, END
from benchmarks.gateway.stacks import STACKS
from benchmarks.gateway.wsauth import wsauth
from benchmarks.generator import build
from benchmarks.served.bench import Finding
from benchmarks.subject import ROOT, NotStarted

COMPARED = {
    "seen": ("haproxy_jwt", "wsauth_python", "wsauth", "wsauth_default"),
    "reject": ("nginx_small", "haproxy_jwt", "wsauth"),
    "paced": ("haproxy_jwt", "wsauth"),
    "mixed 8": ("haproxy_jwt", "wsauth"),
}
"""What is looked at: the load → the gateways."""

NAMES = {"seen": "connect", "reject": "rejection", "paced": "echo below saturation", "mixed 8": "echo of mixed sizes"}

FUNCTIONS = 20
SYMBOLS = 12
SHARE = re.compile(r"^\s*([\d.]+)%\s+(?:\[.\] )?(.+?)(?:\s+-)*\s*$", re.M)
HERTZ = 1_999
"""Samples of perf a second."""


@dataclass(frozen=True, slots=True)
class Split:
    """What one connect costs: microseconds in user and in system mode, and shares in percent by name."""

    user_us: float
    system_us: float
    libraries: list[tuple[str, float]]
    symbols: list[tuple[str, float]]


def profile_lines(meter: Meter, what: str, say: Callable[[str], None]) -> list[str]:
    """Return the tables in Markdown: who takes the time of one connect with a token seen before, or one rejection."""
    splits = {}
    for stack in COMPARED[what]:
        say(f"profile  {stack} / {what}")
        try:
            splits[stack] = _split(meter, stack, what)
        except NotStarted as error:
            say(f"profile  {stack} is left out: {error}")
    say(f"profile  functions / {what}")
    return [f"### One {NAMES[what]}", "", *_split_lines(splits, NAMES[what]), *_functions(meter, what), ""]


def _loaded(load: Load, what: str) -> Finding:
    if what == "paced":
        return load.paced()
    if what == "mixed 8":
        return load.timed("echo", connections=TALKERS, depth=8, size=MIXED)
    return load.counted("connects") if what == "seen" else load.counted("reject", tokens=load.meter.tokens.forged)


def _split(meter: Meter, stack: str, what: str) -> Split:
    with meter.ground() as (ground, backend), STACKS[stack].start(ground) as gateway:
        load = Load(meter, stack, gateway, backend, ground.folder)
        load.warm_up()
        data = ground.folder / "perf.data"
        before = _ticks(gateway)
        recording = _record(gateway, data, meter.size.seconds)
        each = _loaded(load, what).values["us"]
        spent = [now - then for now, then in zip(_ticks(gateway), before, strict=True)]
        user, system = (each * ticks / max(sum(spent), 1) for ticks in spent)
        if recording is None:
            return Split(user, system, [], [])
        recording.wait()
        return Split(user, system, _shares(data, "dso"), _shares(data, "symbol"))


def _ticks(gateway: Gateway) -> tuple[int, int]:
    """Return the hundredths of a second in user and in system mode of all processes."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in gateway.pids]
    return sum(int(each[11]) for each in fields), sum(int(each[12]) for each in fields)


def _record(gateway: Gateway, data: Path, seconds: float) -> subprocess.Popen[bytes] | None:
    perf = shutil.which("perf")
    if perf is None:
        return None
    pids = ",".join(map(str, gateway.pids))
    command = [perf, "record", "-q", "-F", str(HERTZ), "-p", pids, "-o", str(data), "--", "sleep", f"{seconds:g}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _shares(data: Path, what: str) -> list[tuple[str, float]]:
    command = ["perf", "report", "-i", str(data), "--stdio", "-g", "none", "--sort", what]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [(name, float(share)) for share, name in SHARE.findall(text)]


def _split_lines(splits: dict[str, Split], one: str) -> list[str]:
    lines = [
        f"| gateway | µs per {one} in user mode | in the kernel | by library, % | by function, % |",
        "|---|---:|---:|---|---|",
    ]
    for stack, split in splits.items():
        libraries = " · ".join(f"{name} {share:.0f}" for name, share in split.libraries[:6])
        symbols = " · ".join(f"`{name}` {share:.1f}" for name, share in split.symbols[:SYMBOLS])
        title = STACKS[stack].title
        lines.append(f"| {title} | {split.user_us:.1f} | {split.system_us:.1f} | {libraries} | {symbols} |")
    return [*lines, ""]


def _functions(meter: Meter, what: str) -> list[str]:
    """Return the table of the server's functions, all of it plain Python, by their own time."""
    with meter.ground() as (ground, backend):
        samples = ground.folder / "samples"
        with wsauth(ground.folder, ground.backend, "python", environ={"BENCH_PROFILE": str(samples)}) as gateway:
            load = Load(meter, "wsauth_python", gateway, backend, ground.folder)
            load.warm_up()
            os.kill(gateway.pids[0], BEGIN)
            us = _loaded(load, what).values["us"]
            os.kill(gateway.pids[0], END)
            found = _written(samples)
    each = us / max(found["taken"], 1)
    functions: dict[str, tuple[int, int]] = found["functions"]
    lines = [
        f"wsauth, plain Python, {found['taken']:,} samples; C functions and the kernel count for who calls them:",
        "",
        f"| function | own µs per {NAMES[what]} | with what it calls |",
        "|---|---:|---:|",
    ]
    for name, (own, whole) in sorted(functions.items(), key=lambda item: item[1], reverse=True)[:FUNCTIONS]:
        lines.append(f"| `{name}` | {own * each:.1f} | {whole * each:.1f} |")
    return lines


def _written(samples: Path) -> dict[str, Any]:
    """Return what the server has written, as soon as it has."""
    limit = time.monotonic() + PATIENCE
    while not samples.exists() or not samples.stat().st_size:
        if time.monotonic() > limit:
            raise NotStarted("the server wrote no samples")
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(samples.read_text())
    return found


def main(given: Sequence[str]) -> None:
    """Print the tables."""
    folder = ROOT / "build" / "benchmarks"
    programs = build("wsload", folder), build("wsecho", folder)
    what, seconds = [*given, *("seen", "2")[len(given) :]]
    size = Size(seconds=float(seconds))
    with tempfile.TemporaryDirectory(prefix="wsauth-bench-") as place:
        meter = Meter(*programs, Path(place), size)
        print("\n".join(profile_lines(meter, what, lambda line: print(line, file=sys.stderr))))


if __name__ == "__main__":
    main(sys.argv[1:])
