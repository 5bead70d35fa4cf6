"""Count what an audit log has."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEFT_OUT = "audit_left_out"


@dataclass(frozen=True, slots=True)
class Written:
    """What is written about refused handshakes.

    Attributes:
        entries: about them.
        counted: refusals that these stand for.
        left_out: how many events of any kind are said to be missing.
    """

    entries: int
    counted: int
    left_out: int

    @classmethod
    def of(cls, entries: Iterable[dict[str, Any]]) -> "Written":
        """Count entries."""
        found = list(entries)
        refused = [entry.get("count", 1) for entry in found if isinstance(entry.get("code"), str)]
        left_out = sum(entry["count"] for entry in found if entry["event"] == LEFT_OUT)
        return cls(len(refused), sum(refused), left_out)

    @property
    def told(self) -> int:
        """Return how many events somebody who reads the log knows of."""
        return self.counted + self.left_out


def in_store(path: Path) -> Written:
    """Count the decisions in an SQLite store."""
    with closing(sqlite3.connect(path)) as connection:
        return Written.of(json.loads(entry) for (entry,) in connection.execute("SELECT entry FROM audit"))
