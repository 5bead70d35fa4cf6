"""Turn findings into tables in Markdown, and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from string import Template

from benchmarks.report import processor, versions
from benchmarks.served.bench import Errors, Finding, Size
from benchmarks.served.growth import BATCHES, IN_FLIGHT, ROWS
from benchmarks.served.rows import Row
from benchmarks.served.strain import CLIENTS

Findings = dict[str, list[Finding]]

GROWTH = {
    "start_s": ("start, s", 2),
    "memory_mib": ("memory, MiB", 1),
    "handshake_us": ("handshake, echo, close, µs", 0),
    "refresh_us": ("refresh, µs", 0),
    "revocation_us": ("revocation, µs", 0),
    "revocation_p50_ms": ("revocation answered, p50, ms", 1),
    "feed_row_us": ("row of the feed, µs", 1),
}
"""What the table of growth shows of each size, and with how many digits."""


@dataclass(frozen=True, slots=True)
class Run:
    """How it was measured."""

    size: Size
    rounds: int
    day: str


@dataclass(frozen=True, slots=True)
class Result:
    """One row's values, a round each, or the errors that forbid one."""

    row: Row
    values: list[float]
    errors: dict[str, int]

    @property
    def value(self) -> float | None:
        """Return the median, or nothing where there were errors."""
        return None if self.errors else median(self.values)

    @property
    def reached(self) -> bool:
        """Say whether the value is within its limit."""
        return self.value is not None and self.value <= self.row.limit

    @property
    def verdict(self) -> str:
        """Say whether it is, or why nobody knows."""
        return "yes" if self.reached else no_result(self.errors) if self.errors else "**no**"


def no_result(errors: dict[str, int]) -> str:
    """Say why there is none."""
    return "no result: " + ", ".join(f"{count} × {kind}" for kind, count in errors.items())


def collected(rounds: Sequence[Finding]) -> dict[str, int]:
    """Add up what went wrong in all rounds."""
    errors = Errors()
    for finding in rounds:
        errors.take(finding.errors)
    return errors.found


def results(rows: Sequence[Row], findings: Findings) -> list[Result]:
    """Return what was found for each row."""
    found = []
    for row in rows:
        rounds = findings[row.scenario]
        values = [finding.values[row.value] for finding in rounds if not finding.errors]
        found.append(Result(row, values, collected(rounds)))
    return found


def result_lines(found: Sequence[Result]) -> list[str]:
    """Return the table of what must be reached."""
    if not found:
        return []
    lines = ["| what | median (lowest to highest round) | at most | reached |", "|---|---:|---:|---|"]
    for result in found:
        row, value = result.row, "–"
        if result.value is not None:
            spread = f"{row.text(min(result.values))} to {row.text(max(result.values))}"
            value = f"**{row.text(result.value)}** ({spread})"
        lines.append(f"| {row.title} | {value} | {row.text(row.limit)} | {result.verdict} |")
    return [*lines, ""]


def growth_lines(findings: Findings) -> list[str]:
    """Return the table of how costs grow with the store."""
    lines = []
    for name, rounds in findings.items():
        if not name.startswith("growth "):
            continue
        size = f"{int(name.split()[1]):,}"
        if errors := collected(rounds):
            lines.append(f"| {size} | {no_result(errors)} |" + " |" * (len(GROWTH) - 1))
            continue
        cells = [f"{median(one.values[key] for one in rounds):,.{digits}f}" for key, (_, digits) in GROWTH.items()]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    if not lines:
        return []
    head = " | ".join(title for title, _ in GROWTH.values())
    return [f"| users, sessions, live rows | {head} |", "|---:|" + "---:|" * len(GROWTH), *lines, ""]


def detail_lines(findings: Findings) -> list[str]:
    """Return everything else that the scenarios found, medians of the rounds."""
    lines = ["| scenario | found |", "|---|---|"]
    for name, rounds in findings.items():
        done = [one.values for one in rounds if one.values]
        if name.startswith("growth ") or not done:
            continue
        values = {key: median(one[key] for one in done) for key in done[0]}
        lines.append(f"| {name} | {' · '.join(f'{_named(key)} {_shown(key, v)}' for key, v in values.items())} |")
    return [*lines, ""] if len(lines) > 2 else []


def _named(key: str) -> str:
    return key.removesuffix("_ms").removesuffix("_s").replace("_", " ")


def _shown(key: str, value: float) -> str:
    if key.endswith("_busy"):
        return f"{value:.0%}"
    unit = " ms" if key.endswith("_ms") else " s" if key.endswith("_s") else ""
    return f"{value:,.2f}{unit}" if unit or value != int(value) else f"{value:,.0f}"


def method(size: Size) -> str:
    """Return how it was measured and what was on."""
    text = Template((Path(__file__).parent / "method.md").read_text())
    return text.substitute(
        sockets=f"{size.sockets:,}",
        bystanders=size.bystanders,
        pace=size.pace_ms,
        orders=size.orders,
        refreshes=size.refreshes,
        clients=CLIENTS,
        logins=size.logins,
        in_flight=IN_FLIGHT,
        batches=BATCHES,
        rows=f"{ROWS:,}",
    ).strip()


def markdown(found: Sequence[Result], findings: Findings, run: Run) -> str:
    """Return the whole page."""
    grown, details = growth_lines(findings), detail_lines(findings)
    lines = ["# What the server does under strain", ""]
    lines += [f"{run.day}, {processor()}, {versions()}. Medians of {run.rounds} rounds.", ""]
    lines += ["![what was reached, and how costs grow](server.png)", "", *result_lines(found)]
    lines += ["## Growth", "", *grown] if grown else []
    lines += ["## Method", "", method(run.size), ""]
    lines += ["## What was measured", "", *details] if details else []
    return "\n".join([*lines, "Made by `make bench`; every finding is in [server.json](server.json).", ""])


def as_json(found: Sequence[Result], findings: Findings, run: Run) -> str:
    """Return everything that was found."""
    return json.dumps(
        {
            "day": run.day,
            "processor": processor(),
            "versions": versions(),
            "rounds": run.rounds,
            "size": asdict(run.size),
            "rows": [
                {
                    "what": result.row.title,
                    "unit": result.row.unit,
                    "at_most": result.row.limit,
                    "value": result.value,
                    "values": result.values,
                    "verdict": result.verdict.replace("*", ""),
                }
                for result in found
            ],
            "findings": {name: [asdict(finding) for finding in rounds] for name, rounds in findings.items()},
        },
        indent=1,
    )
