"""What a demonstration hands back: a table, and which of its facts do not hold."""

import sys
from dataclasses import dataclass, field

from benchmarks.served.bench import Errors


@dataclass(slots=True)
class Account:
    """Hold the table of one demonstration.

    Attributes:
        title: what was done.
        head: the names of the columns.
        rows: of the table.
        errors: facts that do not hold.
    """

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    errors: Errors = field(default_factory=Errors)

    def row(self, *cells: str) -> None:
        """Add a row, and show it at once."""
        print(" · ".join(cells), file=sys.stderr, flush=True)
        self.rows.append(cells)

    def hold(self, fact: bool, otherwise: str) -> None:
        """Take a fact that must hold, and what is said where it does not."""
        self.errors.add(otherwise, not fact)

    def lines(self) -> list[str]:
        """Return it as Markdown."""
        table = [self.head, ("---",) * len(self.head), *self.rows]
        failed = [f"**Does not hold: {kind}** ({count})" for kind, count in self.errors.found.items()]
        return [f"## {self.title}", "", *(f"| {' | '.join(cells)} |" for cells in table), "", *failed]
