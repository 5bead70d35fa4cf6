"""Draw docs/topics/machine.md's diagrams from the tables in states.py.

Usage: python scripts/draw_machine.py [--check]. With `--check` nothing is written, and the exit status says whether
the page is up to date.
"""

import sys
from collections.abc import Collection
from enum import Enum
from pathlib import Path

from wsauth.core.protocol.states import CONNECTION, LEASE, QUESTION, LeaseState, QuestionState, State

PAGE = Path(__file__).parent.parent / "docs" / "topics" / "machine.md"
Rows = Collection[tuple[tuple[Enum, Enum], Enum]]


def diagram(rows: Rows, first: Enum, last: Enum | None = None) -> str:
    """Return a table as a Mermaid state diagram, each row an arrow."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR", f"    [*] --> {first.value}"]
    for (state, event), to in rows:
        lines.append(f"    {state.value} --> {to.value}: {event.name}")
    if last is not None:
        lines.append(f"    {last.value} --> [*]")
    return "\n".join([*lines, "```"])


def legend(rows: Rows) -> str:
    """Return what a table's events mean, as a Markdown table."""
    meanings = {event.name: event.value for (_, event), _ in rows}
    return "\n".join(["| event | meaning |", "|---|---|", *(f"| {name} | {text} |" for name, text in meanings.items())])


def drawn(page: str) -> str:
    """Return the page with every part between `<!-- drawn: NAME -->` and `<!-- end -->` made anew."""
    parts: dict[str, tuple[Rows, Enum, Enum | None]] = {
        "connection": (CONNECTION.items(), State.HANDSHAKING, State.CLOSED),
        "question": (QUESTION.items(), QuestionState.NONE, None),
        "lease": (LEASE.items(), LeaseState.NONE, None),
    }
    for name, (rows, first, last) in parts.items():
        before, mark, rest = page.partition(f"<!-- drawn: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->\n")
        if not mark or not end:
            raise SystemExit(f"{PAGE}: the marks of the diagram {name!r} are missing")
        page = f"{before}{mark}\n{diagram(rows, first, last)}\n\n{legend(rows)}\n\n{end}{after}"
    return page


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    page = PAGE.read_text("utf-8")
    fresh = drawn(page)
    if "--check" in arguments:
        if fresh != page:
            print(f"{PAGE} is out of date: run python scripts/draw_machine.py", file=sys.stderr)
        return int(fresh != page)
    PAGE.write_text(fresh, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
