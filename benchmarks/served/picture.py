"""Draw what was reached as shares of what is allowed, and how costs grow with the store."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.picture import LABEL, MISSED, NONE, REACHED
from benchmarks.served.report import Findings, Result, collected

WIDEST = 2.0
"""Shares of the allowed beyond this are cut off; the label tells them."""

COSTS = {
    "memory_mib": "memory per process, MiB",
    "handshake_us": "handshake, echo, close, µs",
    "refresh_us": "refresh, µs",
    "revocation_us": "revocation, µs",
    "feed_row_us": "row of the feed, µs",
}


def draw(found: Sequence[Result], findings: Findings, path: Path) -> None:
    """Write a PNG: a bar for each row, and a small chart for each cost."""
    mpl.use("Agg")
    plt.rcParams["font.family"] = "DejaVu Sans"
    sizes = {
        int(name.split()[1]): {key: median(one.values[key] for one in rounds) for key in COSTS}
        for name, rounds in findings.items()
        if name.startswith("growth ") and not collected(rounds)
    }
    figure = plt.figure(figsize=(11, 0.5 * len(found) + 1.4 + (2.4 if sizes else 0)))
    grid = figure.add_gridspec(
        2, len(COSTS), height_ratios=[0.5 * max(len(found), 1) + 0.8, 2.2 if sizes else 0.01], hspace=0.5, wspace=0.45
    )
    if found:
        draw_rows(figure.add_subplot(grid[0, :]), found)
    if sizes:
        for place, (key, title) in enumerate(COSTS.items()):
            draw_cost(figure.add_subplot(grid[1, place]), title, {size: of[key] for size, of in sizes.items()})
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def draw_rows(axes: Axes, found: Sequence[Result]) -> None:
    """Draw the rows as bars; the line at 1 is what is allowed."""
    for place, result in enumerate(found):
        row, value = result.row, result.value
        if value is None:
            axes.text(0.02, place, "no result: errors", va="center", fontsize=8.5, color=NONE)
            continue
        share = min(value / row.limit, WIDEST)
        axes.barh(place, share, height=0.62, color=REACHED if result.reached else MISSED)
        label = f"{row.text(value)}  (at most {row.text(row.limit)})"
        axes.text(share + 0.02, place, label, va="center", fontsize=8.5, bbox=LABEL)
    axes.set_yticks(range(len(found)), [result.row.title for result in found], fontsize=8.5)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xlim(0, WIDEST + 0.6)
    axes.set_xlabel("share of what is allowed (the line; median)", fontsize=9)
    axes.set_title("wsauth's server under strain", loc="left", fontsize=12, fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def draw_cost(axes: Axes, title: str, values: dict[int, float]) -> None:
    """Draw one cost as bars, one for each size of the store."""
    places = range(len(values))
    axes.bar(places, list(values.values()), width=0.6, color=REACHED)
    for place, value in zip(places, values.values(), strict=True):
        axes.text(place, value, f"{value:,.0f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(places, [f"{size // 1000}k" if size else "empty" for size in values], fontsize=8)
    axes.set_ylim(0, max(values.values()) * 1.2 or 1)
    axes.set_yticks([])
    axes.set_title(title, fontsize=8.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
