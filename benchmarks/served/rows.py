"""Say what is measured and what must be reached."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.served import revocation, strain
from benchmarks.served.bench import Bench, Finding, Size
from benchmarks.served.growth import growth

GROUPS = ("revocation", "feed", "refreshes", "logins", "lease-ends", "growth")

Scenario = Callable[[Bench], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that must stay under a limit.

    Attributes:
        scenario: the name of the scenario that finds it.
        value: the name of the value in its finding.
        title: what it is.
        unit: of value and limit: s, ms, or × for a ratio to before.
        limit: at most.
    """

    scenario: str
    value: str
    title: str
    unit: str
    limit: float

    def text(self, value: float) -> str:
        """Return a value as the table prints it."""
        digits = 0 if self.unit == "ms" and value >= 100 else 1 if self.unit == "ms" else 2
        return f"{value:,.{digits}f} {self.unit}"


def scenarios(size: Size) -> dict[str, tuple[str, Scenario]]:
    """Return every scenario by its name, with the group that it belongs to."""
    found: dict[str, tuple[str, Scenario]] = {
        "one process": ("revocation", revocation.one_process),
        "two processes": ("revocation", revocation.two_processes),
        "feed": ("feed", revocation.feed),
        "refreshes": ("refreshes", strain.refreshes),
        "logins": ("logins", strain.logins),
        "lease ends": ("lease-ends", strain.lease_ends),
    }
    for count in size.stores:
        found[f"growth {count}"] = ("growth", partial(growth, count=count))
    return found


def all_rows(size: Size) -> list[Row]:
    """Return every row, in the order of the table."""
    crowd = f"{size.sockets:,} sockets of one identity"
    echo = f"echo p99 of {size.bystanders} bystanders"
    return [
        Row("one process", "last_s", f"{crowd}: revoke → last close frame", "s", 1),
        Row("one process", "during_p99_ms", f"{echo} meanwhile", "ms", 50),
        Row("two processes", "last_s", f"{crowd} in two processes: revoke → last close frame", "s", 1),
        Row("two processes", "during_p99_ms", f"{echo} meanwhile, in two processes", "ms", 50),
        Row("feed", "p99_ms", "feed commit → close frame in another process, p99", "ms", 200),
        Row("refreshes", "p99_ratio", f"{echo} during {size.refreshes} refreshes/s, to before", "×", 3),
        Row("logins", "p99_ratio", f"{echo} during {size.logins} logins at once, to before", "×", 3),
        Row("lease ends", "p99_ratio", f"{echo} during {size.sockets:,} lease ends in one second, to before", "×", 3),
    ]
