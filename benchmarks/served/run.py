"""Run the scenarios round after round, and write what they found."""

import asyncio
import os
import resource
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from benchmarks.generator import CORE
from benchmarks.served import report
from benchmarks.served.bench import Bench, Finding, Size
from benchmarks.served.picture import draw
from benchmarks.served.rows import Scenario, all_rows, scenarios
from benchmarks.subject import NotStarted

Say = Callable[[str], None]

QUICK = Size(sockets=1_000, seconds=1.5, orders=30, stores=(0, 10_000))
SPARE_FILES = 1_500
"""Open files of a server beside the sockets of the crowd: bystanders, clients, the store."""

LIMIT = 150
"""Seconds that one scenario may take."""


def size_of(quick: bool) -> Size:
    """Return how large a run may be here: every socket needs a file in the server."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    size = QUICK if quick else Size()
    return replace(size, sockets=min(size.sockets, hard - SPARE_FILES))


def measure(program: Path, groups: Collection[str], run: report.Run, target: Path, say: Say) -> list[str]:
    """Measure, write server.md, server.json and server.png, and return the tables as lines."""
    chosen = {name: scenario for name, (group, scenario) in scenarios(run.size).items() if group in groups}
    findings: report.Findings = {name: [] for name in chosen}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORE})
    try:
        for number in range(run.rounds):
            for name, scenario in chosen.items():
                if number and name.startswith("growth"):
                    continue  # it has no limit to keep, and filling stores takes long: the first round is enough
                finding = uvloop.run(_measured(program, run.size, scenario))
                findings[name].append(finding)
                say(f"round {number + 1}/{run.rounds}  {name:<16} {_brief(finding)}")
    finally:
        os.sched_setaffinity(0, before)
    rows = [row for row in all_rows(run.size) if row.scenario in chosen]
    found = report.results(rows, findings)
    (target / "server.md").write_text(report.markdown(found, findings, run))
    (target / "server.json").write_text(report.as_json(found, findings, run))
    draw(found, findings, target / "server.png")
    return [*report.result_lines(found), *report.growth_lines(findings), *report.detail_lines(findings)]


async def _measured(program: Path, size: Size, scenario: Scenario) -> Finding:
    """Run one scenario in a folder of its own; what stops it is an error like any other."""
    with tempfile.TemporaryDirectory(prefix="wsauth-bench-") as folder:
        try:
            async with asyncio.timeout(LIMIT):
                return await scenario(Bench(program, Path(folder), size))
        except (NotStarted, OSError, EOFError, TimeoutError) as error:
            return Finding({}, {f"{type(error).__name__}: {error}"[:300]: 1})


def _brief(finding: Finding) -> str:
    shown: Sequence[str] = [f"{key} {value:,.2f}" for key, value in finding.values.items()]
    return "  ".join(shown) + (f"  ERRORS {finding.errors}" if finding.errors else "")
