"""What every scenario uses: how large it is, where its files are, and what it hands back."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.generator import CORE as GENERATOR_CORE
from benchmarks.served.process import Site
from benchmarks.served.sockets import Echo, Generator, percentile
from benchmarks.subject import CORE as SERVER_CORE


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything a run has.

    Attributes:
        sockets: of the one identity that is ended.
        bystanders: sockets of others that exchange messages meanwhile.
        pace_ms: milliseconds between two messages of a bystander.
        seconds: length of a measurement.
        refreshes: a second.
        logins: at once.
        orders: one after the other, to see how long a row of the feed travels.
        stores: sizes of the store.
    """

    sockets: int = 10_000
    bystanders: int = 500
    pace_ms: int = 250
    seconds: float = 4
    refreshes: int = 500
    logins: int = 200
    orders: int = 100
    stores: tuple[int, ...] = (0, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one round of a scenario found; with errors it is no result."""

    values: dict[str, float]
    errors: dict[str, int]


class Bench:
    """Gives every scenario a site of its own and generators."""

    def __init__(self, program: Path, folder: Path, size: Size) -> None:
        """Remember the generator's program, a folder for everything, and how large the run is."""
        self.size = size
        self.generator = Generator(program, folder)
        self.program = program
        self.folder = folder
        self._sites = 0

    def site(self, config: str = "", *, limited: bool = False) -> Site:
        """Return a new site; its limits are the default ones where it is limited, else raised."""
        self._sites += 1
        return Site(self.folder / f"site-{self._sites}", config, limited=limited)


@dataclass(slots=True)
class Errors:
    """Counts what was not as it must be."""

    found: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, count: int = 1) -> None:
        """Count something; none of it is no error."""
        if count:
            self.found[kind] = self.found.get(kind, 0) + count

    def take(self, errors: dict[str, int]) -> None:
        """Count what somebody else has counted."""
        for kind, count in errors.items():
            self.add(kind, count)


class Busy:
    """Tells how busy the cores of server and generator are, whoever uses them, from now on."""

    def __init__(self) -> None:
        """Begin."""
        self._before = _spent()
        self._began = time.monotonic()

    def shares(self) -> dict[str, float]:
        """Return the share of each core that was used since the beginning."""
        seconds = max(time.monotonic() - self._began, 0.01)
        used = {core: (spent - self._before[core]) / 100 / seconds for core, spent in _spent().items()}
        return {"server_busy": min(1.0, used[SERVER_CORE]), "generator_busy": min(1.0, used[GENERATOR_CORE])}


def _spent() -> dict[int, int]:
    """Return the hundredths of a second that each core has worked."""
    spent = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _, _, irq, softirq, *_ = map(int, fields)
            spent[int(name[3:])] = user + nice + system + irq + softirq
    return spent


def within(echoes: list[Echo], began: float, ended: float) -> list[Echo]:
    """Return the echoes that were under way in a time, seconds since the epoch."""
    return [echo for echo in echoes if echo.at + echo.took >= began and echo.at <= ended]


def echo_values(before: list[Echo], during: list[Echo]) -> dict[str, float]:
    """Return what echoes say about a time, and about the time before."""
    values = {
        "before_p99_ms": percentile((echo.took for echo in before), 0.99) * 1e3,
        "during_p50_ms": percentile((echo.took for echo in during), 0.5) * 1e3,
        "during_p99_ms": percentile((echo.took for echo in during), 0.99) * 1e3,
        "during_worst_ms": max((echo.took for echo in during), default=0.0) * 1e3,
        "late_p99_ms": percentile((echo.late for echo in during), 0.99) * 1e3,
        "echoes": len(during),
    }
    return values | {"p99_ratio": values["during_p99_ms"] / max(values["before_p99_ms"], 1e-6)}
