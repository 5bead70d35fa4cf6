"""Turn samples into ratios, a table in Markdown, and JSON."""

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from string import Template

from benchmarks.measure import IDLE, IN_FLIGHT, TALKERS, WARM_UP, Sample
from benchmarks.rows import Cell, Row
from benchmarks.tokens import SEEN

PACKAGES = ("wsauth", "joserfc", "msgspec", "cryptography", "pyjwt", "uvicorn", "uvloop", "httptools")
MORE_PACKAGES = ("websockets", "starlette", "fastapi")
SATURATED = 0.95
"""The share of its core that a server has to use for its measurement to be about the server."""

Samples = dict[Cell, list[Sample]]


@dataclass(frozen=True, slots=True)
class Result:
    """One row's ratios, a round each, or the errors that forbid one."""

    row: Row
    ratios: list[float]
    errors: dict[str, int]

    @property
    def ratio(self) -> float | None:
        """Return the median, or nothing where there were errors."""
        return None if self.errors else median(self.ratios)

    @property
    def verdict(self) -> str:
        """Say whether the target is reached."""
        if self.ratio is None:
            return "no result: " + ", ".join(f"{count} × {kind}" for kind, count in self.errors.items())
        return "yes" if self.row.reached(self.ratio) else "**no**"


def collected_errors(samples: Iterable[Sample]) -> dict[str, int]:
    """Add up what went wrong, by kind."""
    total: dict[str, int] = {}
    for sample in samples:
        for kind, count in sample.errors.items():
            total[kind] = total.get(kind, 0) + count
    return total


def results(rows: Sequence[Row], samples: Samples) -> list[Result]:
    """Compare, round by round, each row's cell with its baseline."""
    found = []
    for row in rows:
        ours, theirs = samples[row.measured], samples[row.against]
        pairs = zip(ours, theirs, strict=True)
        ratios = [row.ratio(one.value, other.value) for one, other in pairs if one.value > 0 and other.value > 0]
        found.append(Result(row, ratios, collected_errors([*ours, *theirs])))
    return found


def result_lines(found: Sequence[Result]) -> list[str]:
    """Return the table of comparisons."""
    lines = [
        "| what | against | ratio (lowest to highest round) | target | reached |",
        "|---|---|---:|---:|---|",
    ]
    for result in found:
        ratio = "–"
        if result.ratio is not None:
            ratio = f"**{result.ratio:.3f}** ({min(result.ratios):.3f} to {max(result.ratios):.3f})"
        row = result.row
        lines.append(f"| {row.title} | {row.baseline} | {ratio} | {row.target_text} | {result.verdict} |")
    return lines


def sample_lines(samples: Samples) -> list[str]:
    """Return the table of what was measured, medians of the rounds."""
    lines = [
        "| application / load | per second of core | server busy | generator busy | p50, ms | p99, ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for cell, rounds in samples.items():
        if cell.load == "idle":
            continue
        value, server, generator, p50, p99 = (
            median(getattr(sample, name) for sample in rounds)
            for name in ("value", "server_busy", "generator_busy", "p50_us", "p99_us")
        )
        remark = "" if server >= SATURATED else " (not saturated)"
        lines.append(
            f"| {cell} | {value:,.0f} | {server:.0%}{remark} | {generator:.0%} | {p50 / 1000:.2f} | {p99 / 1000:.2f} |"
        )
    return lines


def memory_lines(samples: Samples) -> list[str]:
    """Return the table of memory, medians of the rounds."""
    weighed = {cell: rounds for cell, rounds in samples.items() if cell.load == "idle"}
    if not weighed:
        return []
    lines = ["", "| application | KiB per idle connection |", "|---|---:|"]
    lines += [f"| {cell.app} | {median(s.value for s in rounds):.1f} |" for cell, rounds in weighed.items()]
    return lines


def versions() -> str:
    """Return what ran, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *MORE_PACKAGES))
    return f"CPython {platform.python_version()}, Linux {platform.release()}, {packages}"


def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def method() -> str:
    """Return how it was measured and what was on."""
    text = Template((Path(__file__).parent / "method.md").read_text())
    return text.substitute(
        warm_up=f"{WARM_UP:,}", in_flight=IN_FLIGHT, seen=f"{SEEN:,}", talkers=TALKERS, idle=f"{IDLE:,}"
    ).strip()


def markdown(found: Sequence[Result], samples: Samples, rounds: int, seconds: float, day: str) -> str:
    """Return the whole page."""
    lines = ["# What the middleware costs", ""]
    lines += [f"{day}, {processor()}, {versions()}. Medians of {rounds} rounds of {seconds:g} s.", ""]
    lines += [
        "![the ratios and their targets](middleware.png)",
        "",
        *result_lines(found),
        "",
        "## Method",
        "",
        method(),
    ]
    lines += ["", "## What was measured", "", *sample_lines(samples), *memory_lines(samples), ""]
    lines += ["Made by `make bench`; every sample is in [middleware.json](middleware.json).", ""]
    return "\n".join(lines)


def as_json(found: Sequence[Result], samples: Samples, rounds: int, seconds: float, day: str) -> str:
    """Return everything that was measured."""
    return json.dumps(
        {
            "day": day,
            "processor": processor(),
            "versions": versions(),
            "rounds": rounds,
            "seconds": seconds,
            "rows": [
                {
                    "what": result.row.title,
                    "against": result.row.baseline,
                    "target": result.row.target_text,
                    "ratio": result.ratio,
                    "ratios": result.ratios,
                    "verdict": result.verdict.replace("*", ""),
                }
                for result in found
            ],
            "samples": {str(cell): [asdict(sample) for sample in taken] for cell, taken in samples.items()},
        },
        indent=1,
    )
