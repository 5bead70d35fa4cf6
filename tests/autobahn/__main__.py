"""`python -m tests.autobahn`: the Autobahn suite straight to a backend and through the gateway, compared case by case.

Results are kept in `.tools/autobahn/results` until a run is made again; the page is drawn when all are there.
`scripts/autobahn` prepares what this needs.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.autobahn.outcomes import Outcome, changes, keep, kept
from tests.autobahn.report import page, table
from tests.autobahn.runs import GROUPS, RUNS, TOOLS, Run, backend, carried_out, reached
from tests.wsauth_server import ROOT

RESULTS = TOOLS / "results"
PAGE = ROOT / "docs" / "autobahn"


async def run_all(runs: Sequence[Run], chosen: Sequence[str]) -> None:
    """Make runs with the chosen cases, or with all that are theirs, and keep what each of them brings."""
    async with backend() as upstream:
        for run in runs:
            with TemporaryDirectory() as folder:
                async with reached(run, upstream, Path(folder)) as url:
                    for cases in [chosen] if chosen else run.groups:
                        sys.stderr.write(f"autobahn: {run.name}, {' '.join(cases)}\n")
                        _keep(run, await carried_out(run, url, cases))


def _keep(run: Run, found: dict[str, Outcome]) -> None:
    file = RESULTS / f"{run.name}.json"
    keep(file, kept(file) | found)


def compare() -> int:
    """Print what ends in another way, write the page where nothing is missing, and return the exit status."""
    results = {run.name: kept(RESULTS / f"{run.name}.json") for run in RUNS}
    direct = results["direct"]
    worse = 0
    for run in RUNS[1:]:
        both = direct.keys() & results[run.name].keys()
        found = changes(
            {case: direct[case] for case in both},
            {case: results[run.name][case] for case in both},
            compressed=run.compressed,
        )
        worse += sum(each.worse for each in found)
        sys.stdout.write("\n".join(["", f"{run.what}, {len(both)} cases", *table(found), ""]))
    whole = all(any(case.startswith(each.removesuffix("*")) for case in direct) for group in GROUPS for each in group)
    if whole and all(results[run.name].keys() >= {case for case in direct if run.has(case)} for run in RUNS):
        PAGE.mkdir(parents=True, exist_ok=True)
        (PAGE / "index.md").write_text(page(results), "utf-8")
        runs = ",\n".join(f'"{name}": {(RESULTS / f"{name}.json").read_text("utf-8").strip()}' for name in results)
        (PAGE / "results.json").write_text(f"{{\n{runs}\n}}\n", "utf-8")
        sys.stdout.write(f"\nwritten: {PAGE.relative_to(ROOT)}\n")
    return 1 if worse else 0


def main() -> int:
    """Read the command line."""
    names = [run.name for run in RUNS]
    parser = argparse.ArgumentParser(prog="scripts/autobahn", description=__doc__)
    parser.add_argument("--runs", nargs="*", choices=names, default=names, help="only these; none only compares")
    parser.add_argument("--cases", nargs="+", default=[], metavar="CASE", help="only these, such as 7.* or 12.1.3")
    given = parser.parse_args()
    chosen = [run for run in RUNS if run.name in given.runs]
    if chosen:
        asyncio.run(run_all(chosen, given.cases))
    return compare()


if __name__ == "__main__":
    sys.exit(main())
