"""What commands print: tables and lines for people, JSON for programs; nothing that steers a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from wsauth.services.connections.connections import Report

__all__ = ["clean", "described", "moment", "print_json", "print_record", "print_report", "print_table", "say", "span"]

_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_WIDE: Final = 4096
"""Columns of what is no terminal, so that every row stays one line."""


def clean(value: object) -> str:
    """Return a value as it may be printed: what a terminal would act on, or hide, is escaped."""
    if isinstance(value, list | tuple):
        return ", ".join(clean(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def moment(at: float | None) -> str:
    """Return a time for people, in UTC; `never` for none."""
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: float) -> str:
    """Return a duration for people, in its two largest units: `4 min 51 s`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def say(text: str) -> None:
    """Print a line for people on standard error, where it is in no program's way."""
    sys.stderr.write(f"{text}\n")


def print_json(value: object) -> None:
    """Print JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: as wide as the terminal, elsewhere one line for each row."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(Text(clean(value)) for value in row))
    with console.capture() as capture:
        console.print(table)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def print_record(record: dict[str, Any]) -> None:
    """Print one thing: a line for each of its names."""
    width = max(map(len, record), default=0)
    for name, value in record.items():
        sys.stdout.write(f"{name.replace('_', ' '):{width}}  {clean(value)}".rstrip() + "\n")


def described(report: "Report") -> dict[str, Any]:
    """Return what an order did, as the HTTP API has it."""
    nodes = report.nodes
    return {
        "id": report.id,
        "matched": report.matched,
        "closed": report.closed,
        "cut": report.cut,
        "nodes": {"live": nodes.live, "answered": nodes.answered, "silent": nodes.silent},
        "complete": report.complete,
        "slowest_ms": round(report.slowest * 1000, 1),
    }


def print_report(report: "Report", *, as_json: bool) -> int:
    """Print what an order did, and return the exit status: 1 while a process has not said that it is done."""
    nodes = report.nodes
    if as_json:
        print_json(described(report))
    elif not nodes.live:
        sys.stdout.write("done; no server runs on this store, so no socket was open\n")
    else:
        sys.stdout.write(
            f"done; {report.matched} connections matched: {report.closed} closed, {report.cut} cut; "
            f"{nodes.answered} of {nodes.live} processes answered, the last connection ended after "
            f"{report.slowest * 1000:.0f} ms\n"
        )
    if not report.complete:
        say("not complete: a process has not answered within 2 s; what it holds ends with its leases at the latest")
    return 0 if report.complete else 1
