"""Draw the ratios as horizontal bars, each with its target."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.report import Result

LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1}
REACHED, MISSED, NONE = "#2f7d5b", "#c0553b", "#b5b5b5"


def draw(found: Sequence[Result], path: Path) -> None:
    """Write a PNG with one bar a row; a tick across the bar is the target."""
    mpl.use("Agg")
    plt.rcParams["font.family"] = "DejaVu Sans"
    figure, axes = plt.subplots(figsize=(11, 0.42 * len(found) + 1.6))
    for place, result in enumerate(found):
        draw_bar(axes, place, result)
    axes.set_yticks(range(len(found)), [f"{r.row.title}  vs {r.row.baseline}" for r in found], fontsize=8.5)
    axes.invert_yaxis()
    axes.axvline(1, color="#888888", linewidth=0.8, zorder=0)
    axes.set_xlim(0, max([1.5, *(max(result.ratio or 0, result.row.target) for result in found)]) + 0.5)
    axes.set_xlabel("ratio to the baseline of the same round (median; the black tick is the target)", fontsize=9)
    axes.set_title("wsauth's middleware", loc="left", fontsize=12, fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_bar(axes: Axes, place: int, result: Result) -> None:
    """Draw one row."""
    row, ratio = result.row, result.ratio
    if ratio is None:
        axes.text(0.02, place, "no result: errors", va="center", fontsize=8.5, color=NONE)
        return
    axes.barh(place, ratio, height=0.62, color=REACHED if row.reached(ratio) else MISSED)
    axes.plot([row.target, row.target], [place - 0.42, place + 0.42], color="black", linewidth=1.6)
    label = f"{ratio:.2f}  ({'at most' if row.at_most else 'at least'} {row.target:.2f})"
    axes.text(max(ratio, row.target) + 0.02, place, label, va="center", fontsize=8.5, bbox=LABEL)
