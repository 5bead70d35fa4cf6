"""Draw every row as a share of its target."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.gateway.report import Result
from benchmarks.gateway.stacks import STACKS
from benchmarks.picture import LABEL, MISSED, NONE, REACHED

WIDEST = 2.0
"""Shares beyond this are cut off; the label tells them."""
SHOWN = "#7d93a8"
"""For rows without a target."""


def draw(found: Sequence[Result], path: Path) -> None:
    """Write a PNG with one bar a row: ratios as they are, other values as shares of what is allowed."""
    mpl.use("Agg")
    plt.rcParams["font.family"] = "DejaVu Sans"
    figure, axes = plt.subplots(figsize=(12, 0.42 * len(found) + 1.6))
    for place, result in enumerate(found):
        draw_bar(axes, place, result)
    axes.set_yticks(range(len(found)), [_title(result) for result in found], fontsize=8)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.axvline(1, color="#888888", linewidth=0.8, zorder=0)
    axes.set_xlim(0, WIDEST + 0.7)
    axes.set_xlabel(
        "ratio to the other gateway in the same round, or share of what is allowed (median; the tick is the target)",
        fontsize=9,
    )
    axes.set_title("wsauth's gateway", loc="left", fontsize=12, fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_bar(axes: Axes, place: int, result: Result) -> None:
    """Draw one row."""
    row, value = result.row, result.value
    if value is None:
        axes.text(0.02, place, "no result: errors", va="center", fontsize=8.5, color=NONE)
        return
    unit = 1.0 if row.against or row.target is None else row.target
    share = min(value / unit, WIDEST)
    axes.barh(place, share, height=0.62, color=SHOWN if row.target is None else MISSED if result.missed else REACHED)
    far = share
    if row.target is not None:
        tick = min(row.target / unit, WIDEST)
        axes.plot([tick, tick], [place - 0.42, place + 0.42], color="black", linewidth=1.6)
        far = max(share, tick)
    label = row.text(value) if row.target is None else f"{row.text(value)}  ({row.target_text})"
    axes.text(far + 0.02, place, label, va="center", fontsize=8.5, bbox=LABEL)


def _title(result: Result) -> str:
    row = result.row
    return f"{row.title}  vs {STACKS[row.against.stack].title.replace('`', '')}" if row.against else row.title
