"""Run the cells round after round, and write what they found."""

import os
import resource
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.gateway import report
from benchmarks.gateway.measure import Meter, Size
from benchmarks.gateway.picture import draw
from benchmarks.gateway.profile import COMPARED, profile_lines
from benchmarks.gateway.rows import Cell, all_cells, all_rows
from benchmarks.generator import CORE
from benchmarks.served.bench import Finding
from benchmarks.served.run import SPARE_FILES

Say = Callable[[str], None]

QUICK = Size(idle=1_000, idle_tls=100, crowd=500, bystanders=50)
FILES_EACH = 2
"""Open files of a gateway for each connection."""


def size_of(quick: bool, seconds: float) -> Size:
    """Return how large a run may be here: every connection needs two files in the gateway."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    size, most = replace(QUICK if quick else Size(), seconds=seconds), (hard - SPARE_FILES) // FILES_EACH
    return replace(size, idle=min(size.idle, most), crowd=min(size.crowd, most))


def measure(programs: tuple[Path, Path], groups: Collection[str], run: report.Run, target: Path, say: Say) -> list[str]:
    """Measure, write gateway.md, gateway.json and gateway.png, and return the tables as lines.

    Args:
        programs: the load generator and the backend.
        groups: which are measured.
        run: how.
        target: the folder for the files.
        say: shows progress.
    """
    rows = [row for row in all_rows(run.size.crowd, run.size.bystanders) if row.group in groups]
    cells = [cell for group, listed in all_cells().items() if group in groups for cell in listed]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORE})
    try:
        with tempfile.TemporaryDirectory(prefix="wsauth-bench-") as folder:
            meter = Meter(*programs, Path(folder), run.size)
            findings = measure_rounds(meter, cells, run.rounds, say)
            found = report.results(rows, findings)
            profile = [line for load in missed(found) for line in profile_lines(meter, load, say)]
    finally:
        os.sched_setaffinity(0, before)
    (target / "gateway.md").write_text(report.markdown(found, findings, run, profile))
    (target / "gateway.json").write_text(report.as_json(found, findings, run))
    draw(found, target / "gateway.png")
    tables = [*report.result_lines(found), *report.rate_lines(findings), *report.weight_lines(findings)]
    return [*tables, *report.crowd_lines(findings), *profile]


def missed(found: Sequence[report.Result]) -> list[str]:
    """Return which loads are to be looked into, since a row about them misses its target."""
    rows = [result.row for result in found if result.missed]
    return [load for load in COMPARED if any(row.measured.load == load for row in rows)]


def measure_rounds(meter: Meter, cells: Sequence[Cell], rounds: int, say: Say) -> dict[Cell, list[Finding]]:
    """Measure every cell once a round; every second round goes backwards, to even out a drift."""
    findings: dict[Cell, list[Finding]] = {cell: [] for cell in cells}
    for number in range(rounds):
        for cell in cells if number % 2 == 0 else reversed(cells):
            finding = meter.measure(cell)
            findings[cell].append(finding)
            say(f"round {number + 1}/{rounds}  {cell!s:<28} {_brief(finding)}")
    return findings


def _brief(finding: Finding) -> str:
    shown = "  ".join(f"{key} {value:,.2f}" for key, value in finding.values.items())
    return shown + (f"  ERRORS {finding.errors}" if finding.errors else "")
