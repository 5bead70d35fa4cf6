"""The page of docs/autobahn: what was run with what, and every case that ends in another way through the gateway."""

import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from tests.autobahn.outcomes import Change, Outcome, changes
from tests.autobahn.runs import RUNS, WSTEST, Run

__all__ = ["REASONS", "changed", "page", "table"]

REASONS: dict[tuple[str, ...], str] = {
    ("3", "4", "5.15"): (
        "A broken frame is answered as soon as it comes. The message before it was delivered; that its echo comes back "
        "first is what the suite would rather see."
    ),
}
"""Why cases end in another way, by the beginnings of their numbers."""


def page(results: Mapping[str, Mapping[str, Outcome]]) -> str:
    """Return the page, in Markdown."""
    versions = [
        _said(str(WSTEST), "-a").replace("\n", ", "),
        f"ws {_said('npm', '--prefix', 'tests/node', 'ls', 'ws', '--depth=0').rpartition('@')[2]}",
        f"Node {_said('node', '--version').removeprefix('v')}",
        f"wsauth {version('wsauth')}",
        f"CPython {platform.python_version()}",
        f"{platform.system()} {platform.release()}",
    ]
    worse = sum(each.worse for run in RUNS[1:] for each in changed(run, results))
    head = f"""# The Autobahn WebSocket test suite through the gateway

{datetime.now(UTC):%Y-%m-%d}, {", ".join(versions)}. Drawn by `scripts/autobahn`; [results.json](results.json) has every
case of every run.

A case is worse where it passes straight and does not pass through the gateway: **{worse or "none"}**.

| run | passed | of these not strict or informational | failed | not done | worse |
|---|---:|---:|---:|---:|---:|
"""
    foot = """
Not strict: the suite would rather see it another way, and RFC 6455 allows it. Not done: permessage-deflate, or a
parameter of it, was not agreed on; without `compression` that is every case of 12 and 13.
"""
    lines = [head + "\n".join(_numbers(run, results) for run in RUNS), foot]
    for run in RUNS[1:]:
        found = changed(run, results)
        lines += [f"## {run.what[0].upper()}{run.what[1:]}", "", *table(found), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(found: list[Change]) -> list[str]:
    """Return the cases that end in another way, as the lines of a table; cases that differ alike share one."""
    if not found:
        return ["Every case ends as it does straight."]
    alike: dict[tuple[str, str, str], list[str]] = {}
    for each in found:
        why = "**worse**" if each.worse else _reason(each.case)
        alike.setdefault((str(each.direct), str(each.through), why), []).append(each.case)
    lines = ["| cases | straight | through the gateway | why |", "|---|---|---|---|"]
    lines += [f"| {', '.join(cases)} | {' | '.join(how)} |" for how, cases in alike.items()]
    return lines


def changed(run: Run, results: Mapping[str, Mapping[str, Outcome]]) -> list[Change]:
    """Return the cases of a run that end in another way than straight."""
    direct, through = (
        {case: each for case, each in results[name].items() if run.has(case)} for name in ("direct", run.name)
    )
    return changes(direct, through, compressed=run.compressed)


def _numbers(run: Run, results: Mapping[str, Mapping[str, Outcome]]) -> str:
    kinds = Counter(
        "undone" if each.undone else "failed" if not each.passed else each.behavior
        for case, each in results[run.name].items()
        if run.has(case)
    )
    loose = kinds["NON-STRICT"] + kinds["INFORMATIONAL"]
    worse = sum(each.worse for each in changed(run, results)) if run.path else "–"
    return f"| {run.what} | {kinds['OK'] + loose} | {loose} | {kinds['failed']} | {kinds['undone']} | {worse} |"


def _reason(case: str) -> str:
    return next(
        (why for beginnings, why in REASONS.items() if f"{case}.".startswith(tuple(f"{each}." for each in beginnings))),
        "",
    )


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
