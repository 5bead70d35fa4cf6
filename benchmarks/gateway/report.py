"""Turn findings into tables in Markdown, and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from string import Template

from benchmarks.gateway import measure
from benchmarks.gateway.process import version_of
from benchmarks.gateway.rows import Cell, Row
from benchmarks.gateway.stacks import STACKS
from benchmarks.report import SATURATED, processor, versions
from benchmarks.served.bench import Finding
from benchmarks.served.report import collected, no_result
from benchmarks.tokens import SEEN

Findings = Mapping[Cell, Sequence[Finding]]

WEIGHED = ("idle", "idle TLS", "deaf client", "deaf backend")
BULK = ("up", "down")
RATES = (
    *("gateway", "load", "per second of core", "µs each", "gateway busy", "strangers on its core", "core 1 busy"),
    *("p50, ms", "p99, ms"),
)
"""The columns of what was counted."""

DISTURBED = 0.1
"""The share of the gateway's core from which somebody else's use of it spoils a measurement."""

FULL = 0.98
"""The share of its core from which generator and backend may be what holds up a measurement."""


@dataclass(frozen=True, slots=True)
class Run:
    """How it was measured."""

    size: measure.Size
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
    def missed(self) -> bool:
        """Say whether the row misses its target."""
        row, value = self.row, self.value
        return row.target is not None and value is not None and not row.reached(value, row.target)

    @property
    def verdict(self) -> str:
        """Say whether the target is reached."""
        row, value = self.row, self.value
        if value is None:
            return no_result(self.errors)
        if row.target is None:
            return "–"
        if self.missed:
            return "**no**"
        later = row.later is None or row.reached(value, row.later)
        return "yes" if later else "yes, the later one not"


def results(rows: Sequence[Row], findings: Findings) -> list[Result]:
    """Compare, round by round, each row's cell with the one that it is divided by."""
    found = []
    for row in rows:
        ours = findings[row.measured]
        theirs = findings[row.against] if row.against else [Finding({row.value: 1.0}, {})] * len(ours)
        errors = collected([*ours, *theirs])
        pairs = [] if errors else zip(ours, theirs, strict=True)
        values = [one.values[row.value] / max(other.values[row.value], 1e-9) for one, other in pairs]
        found.append(Result(row, values, errors))
    return found


def result_lines(found: Sequence[Result]) -> list[str]:
    """Return the table of comparisons."""
    lines = [
        "| what | against | median (lowest to highest round) | target | reached |",
        "|---|---|---:|---:|---|",
    ]
    for result in found:
        row, value = result.row, "–"
        if result.value is not None:
            spread = f"{row.text(min(result.values))} to {row.text(max(result.values))}"
            value = f"**{row.text(result.value)}** ({spread})"
        against = STACKS[row.against.stack].title if row.against else "–"
        lines.append(f"| {row.title} | {against} | {value} | {row.target_text} | {result.verdict} |")
    return [*lines, ""]


def rate_lines(findings: Findings) -> list[str]:
    """Return the table of what was counted, medians of the rounds."""
    lines = [f"| {' | '.join(RATES)} |", "|---|---|" + "---:|" * (len(RATES) - 2)]
    for cell, values in _medians(findings).items():
        if "per_second" in values:
            lines.append(f"| {STACKS[cell.stack].title} | {cell.load} | {' | '.join(_rates(cell, values))} |")
    return [*lines, ""] if len(lines) > 2 else []


def _rates(cell: Cell, values: Mapping[str, float]) -> list[str]:
    """Return the cells of one line, behind the names."""
    idle = cell.load != "paced" and values["gateway_busy"] < SATURATED
    busy = f"{values['gateway_busy']:.0%}{' (not saturated)' if idle else ''}"
    strangers = f"{values['strangers_busy']:.0%}{' (disturbed)' if values['strangers_busy'] > DISTURBED else ''}"
    others = f"{values['others_busy']:.0%}{' (full)' if values['others_busy'] >= FULL else ''}"
    if cell.load in BULK:
        return [f"{values['per_second'] / 1e6:,.0f} MB", "–", busy, strangers, others, "–", "–"]
    rate, times = f"{values['per_second']:,.0f}", [f"{values[name]:.2f}" for name in ("p50_ms", "p99_ms")]
    return [rate, f"{values['us']:.1f}", busy, strangers, others, *times]


def weight_lines(findings: Findings) -> list[str]:
    """Return the table of memory, medians of the rounds."""
    lines = ["| gateway | connections | KiB each | grown after that | busy meanwhile |", "|---|---|---:|---:|---:|"]
    for cell, values in _medians(findings).items():
        if cell.load in WEIGHED:
            later = f"{values['grown_later_kib']:.1f} KiB" if "busy" in values else "–"
            busy = f"{values['busy']:.0%}" if "busy" in values else "–"
            lines.append(f"| {STACKS[cell.stack].title} | {cell.load} | {values['kib']:,.2f} | {later} | {busy} |")
    return [*lines, ""] if len(lines) > 2 else []


def crowd_lines(findings: Findings) -> list[str]:
    """Return what else the revocation found, medians of the rounds."""
    shown = []
    for cell, values in _medians(findings).items():
        if cell.load == "crowd":
            shown += [f"{key.replace('_', ' ')} {value:,.2f}" for key, value in values.items()]
    return [f"Revocation: {' · '.join(shown)}.", ""] if shown else []


def _medians(findings: Findings) -> dict[Cell, dict[str, float]]:
    """Return the medians of the rounds of each cell that has a result."""
    good = {cell: rounds for cell, rounds in findings.items() if rounds and not collected(rounds)}
    return {
        cell: {key: median(one.values[key] for one in rounds) for key in rounds[0].values}
        for cell, rounds in good.items()
    }


def method(size: measure.Size) -> str:
    """Return how it was measured and what was on."""
    text = Template((Path(__file__).parent / "method.md").read_text())
    return text.substitute(
        warm_up=f"{measure.WARM_UP:,}",
        in_flight=measure.IN_FLIGHT,
        seen=f"{SEEN:,}",
        talkers=measure.TALKERS,
        calm=measure.CALM,
        pace=measure.PACE_MS,
        paced=f"{measure.CALM / measure.PACE_MS * 1e3:,.0f}",
        streams=measure.STREAMS,
        idle=f"{size.idle:,}",
        idle_tls=f"{size.idle_tls:,}",
        stuck=measure.STUCK,
        crowd=f"{size.crowd:,}",
        bystanders=size.bystanders,
    ).strip()


def markdown(found: Sequence[Result], findings: Findings, run: Run, profile: Sequence[str]) -> str:
    """Return the whole page."""
    lines = ["# What the gateway costs beside nginx and HAProxy", ""]
    named = f"{version_of('nginx')}, {version_of('haproxy')}, {versions()}"
    lines += [f"{run.day}, {processor()}, {named}. Medians of {run.rounds} rounds of {run.size.seconds:g} s.", ""]
    lines += ["![what was reached](gateway.png)", "", *result_lines(found)]
    lines += ["## Method", "", method(run.size), ""]
    lines += ["## What was measured", "", *rate_lines(findings), *weight_lines(findings), *crowd_lines(findings)]
    lines += ["## Where the time goes", "", *profile] if profile else []
    return "\n".join([*lines, "Made by `make bench`; every finding is in [gateway.json](gateway.json).", ""])


def as_json(found: Sequence[Result], findings: Findings, run: Run) -> str:
    """Return everything that was found."""
    return json.dumps(
        {
            "day": run.day,
            "processor": processor(),
            "versions": f"{version_of('nginx')}, {version_of('haproxy')}, {versions()}",
            "rounds": run.rounds,
            "size": asdict(run.size),
            "rows": [
                {
                    "what": result.row.title,
                    "against": str(result.row.against) if result.row.against else None,
                    "target": result.row.target_text,
                    "value": result.value,
                    "values": result.values,
                    "verdict": result.verdict.replace("*", ""),
                }
                for result in found
            ],
            "findings": {str(cell): [asdict(finding) for finding in rounds] for cell, rounds in findings.items()},
        },
        indent=1,
    )
