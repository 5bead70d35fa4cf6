"""Say what is compared with what, and what must be reached."""

from dataclasses import dataclass

FRAMEWORKS = {"bare": "bare ASGI", "starlette": "Starlette", "fastapi": "FastAPI"}
GROUPS = ("connects", "messages", "rejections", "memory", "leases")


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is measured: an application of `benchmarks.apps` under a load of `Meter`."""

    app: str
    load: str

    def __str__(self) -> str:
        """Return the cell's name in tables."""
        return f"{self.app} / {self.load}"


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: `measured` divided by `against` in the same round, and its target."""

    group: str
    title: str
    baseline: str
    measured: Cell
    against: Cell
    target: float
    at_most: bool = False

    def ratio(self, measured: float, against: float) -> float:
        """Return the ratio the target speaks of; for the cost of a handshake, that of the times."""
        return against / measured if self.group == "leases" else measured / against

    def reached(self, ratio: float) -> bool:
        """Say whether a ratio reaches the target."""
        return ratio <= self.target if self.at_most else ratio >= self.target

    @property
    def target_text(self) -> str:
        """Return the target as the table prints it."""
        return f"{'≤' if self.at_most else '≥'} {self.target:.2f}"


def connect_rows(framework: str, name: str) -> list[Row]:
    """Return the rows on handshakes with one framework."""
    plain, written = Cell(f"{framework}_plain", "seen"), Cell(f"{framework}_pyjwt", "seen")
    seen, fresh = Cell(f"{framework}_wsauth", "seen"), Cell(f"{framework}_wsauth", "fresh")
    return [
        Row("connects", f"connects, token seen before · {name}", "no auth", seen, plain, 0.90),
        Row("connects", f"connects, fresh HS256 · {name}", "no auth", fresh, plain, 0.80),
        Row("connects", f"connects, token seen before · {name}", "hand-written PyJWT", seen, written, 1.25),
        Row("connects", f"connects, fresh HS256 · {name}", "hand-written PyJWT", fresh, written, 1.10),
    ]


def all_rows() -> list[Row]:
    """Return every row, in the order of the table."""
    rows = [row for framework, name in FRAMEWORKS.items() for row in connect_rows(framework, name)]
    for framework, name in FRAMEWORKS.items():
        ours, plain = Cell(f"{framework}_wsauth", "echo"), Cell(f"{framework}_plain", "echo")
        rows.append(Row("messages", f"messages, 64 connections · {name}", "no auth", ours, plain, 0.98))
    rejected, written = Cell("fastapi_wsauth", "reject"), Cell("fastapi_pyjwt", "reject")
    rows.append(Row("rejections", "rejections, bad signature · FastAPI", "hand-written PyJWT", rejected, written, 1.5))
    for framework, name in FRAMEWORKS.items():
        ours, plain = Cell(f"{framework}_wsauth", "idle"), Cell(f"{framework}_plain", "idle")
        title = f"memory per idle connection · {name}"
        rows.append(Row("memory", title, "no auth", ours, plain, 1.10, at_most=True))
    crowded, empty = Cell("bare_wsauth_crowded", "seen"), Cell("bare_wsauth", "seen")
    title = "a handshake's cost with 100,000 leases and 100,000 revocations · bare ASGI"
    rows.append(Row("leases", title, "with none", crowded, empty, 1.10, at_most=True))
    return rows
