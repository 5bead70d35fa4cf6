"""Run the benchmarks: `python -m benchmarks [GROUP …] [--rounds N] [--seconds S] [--quick]`.

A full run writes `docs/performance/{middleware,server,gateway}.{md,png,json}`; with groups or `--quick` the files go
to `build/benchmarks/`. Either way the tables are printed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import programs, report
from benchmarks.gateway import report as gateway_report
from benchmarks.gateway import run as gateway
from benchmarks.gateway.rows import GROUPS as GATEWAY
from benchmarks.generator import build
from benchmarks.measure import Meter, measure_rounds
from benchmarks.picture import draw
from benchmarks.rows import GROUPS as MIDDLEWARE
from benchmarks.rows import Cell, Row, all_rows
from benchmarks.served.report import Run
from benchmarks.served.rows import GROUPS as SERVER
from benchmarks.served.run import measure, size_of
from benchmarks.subject import ROOT
from benchmarks.tokens import TokenFiles

BUILD = ROOT / "build" / "benchmarks"
GROUPS = (*MIDDLEWARE, *SERVER, *GATEWAY)
FRESH_PER_SECOND = 8_000
"""More handshakes than any subject here manages in a second."""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure wsauth.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"only these: {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1, help="length of one measurement of middleware and gateway")
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a result")
    options = parser.parse_args(given)
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.quick:
        options.rounds, options.seconds = 1, 0.6
    if not 1 <= options.rounds <= 100 or not 0.1 <= options.seconds <= 60:
        parser.error("--rounds is 1 to 100, --seconds 0.1 to 60")
    return options


def cells_of(rows: Sequence[Row]) -> list[Cell]:
    """Return every cell that the rows need, once, baselines beside what is compared with them."""
    return list(dict.fromkeys(cell for row in rows for cell in (row.against, row.measured)))


def say(line: str) -> None:
    """Show progress at once."""
    print(line, file=sys.stderr, flush=True)


def measure_middleware(program: Path, options: argparse.Namespace, day: str, target: Path) -> list[str]:
    """Measure, write middleware.md, middleware.json and middleware.png, and return the tables as lines."""
    rows = [row for row in all_rows() if row.group in options.groups]
    with tempfile.TemporaryDirectory(prefix="wsauth-bench-") as folder:
        tokens = TokenFiles(Path(folder), fresh=int(FRESH_PER_SECOND * options.seconds))
        samples = measure_rounds(Meter(program, tokens, options.seconds), cells_of(rows), options.rounds, say)
    found = report.results(rows, samples)
    run = options.rounds, options.seconds, day
    (target / "middleware.md").write_text(report.markdown(found, samples, *run))
    (target / "middleware.json").write_text(report.as_json(found, samples, *run))
    draw(found, target / "middleware.png")
    return [*report.result_lines(found), "", *report.sample_lines(samples), *report.memory_lines(samples), ""]


def main(given: Sequence[str]) -> None:
    """Measure, print, and write the files."""
    options = arguments(given)
    target = BUILD if options.quick or options.groups else ROOT / "docs" / "performance"
    options.groups = options.groups or GROUPS
    target.mkdir(parents=True, exist_ok=True)
    gateways = set(GATEWAY) & set(options.groups)
    try:
        programs.check(["gcc", *(("nginx", "haproxy") if gateways else ())])
        program, echo = build("wsload", BUILD), build("wsecho", BUILD)
    except programs.ProgramMissing as missing:
        sys.exit(f"benchmarks: {missing}")
    if gateways and not programs.is_compiled():
        say("benchmarks: the gateway's splice is not compiled, so half of its rows will have no result: make compile")
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    lines = []
    if set(MIDDLEWARE) & set(options.groups):
        lines += measure_middleware(program, options, day, target)
    if set(SERVER) & set(options.groups):
        run = Run(size_of(options.quick), options.rounds, day)
        lines += measure(program, options.groups, run, target, say)
    if gateways:
        size = gateway.size_of(options.quick, options.seconds)
        lines += gateway.measure(
            (program, echo), options.groups, gateway_report.Run(size, options.rounds, day), target, say
        )
    print("\n".join(lines))
    print(f"written to {target}")


if __name__ == "__main__":
    main(sys.argv[1:])
