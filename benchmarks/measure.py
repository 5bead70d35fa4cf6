"""Measure cells in alternating rounds, each in a server process of its own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import generator
from benchmarks.generator import Load
from benchmarks.rows import Cell
from benchmarks.subject import NotStarted, Subject, serving, settled_memory
from benchmarks.tokens import SEEN, TokenFiles

IN_FLIGHT = 32
"""Handshakes under way at once."""

TALKERS = 64
"""Connections that exchange messages."""

IDLE = 4_000
"""Connections that are held open to weigh them."""

WARM_UP = SEEN + 500
"""Handshakes before anything is counted: every token that will be seen again has then been seen."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one cell.

    `value` is what happened per second of the server's CPU, or KiB per connection; `…_busy` are
    shares of a core.
    """

    value: float
    server_busy: float
    generator_busy: float
    p50_us: int
    p99_us: int
    errors: dict[str, int] = field(default_factory=dict)


class Meter:
    """Measures one cell at a time with one generator and one set of tokens."""

    def __init__(self, program: Path, tokens: TokenFiles, seconds: float) -> None:
        """Remember what every measurement uses; seconds is the length of one."""
        self.program = program
        self.tokens = tokens
        self.seconds = seconds
        self.loads: dict[str, Callable[[Subject, str], Sample]] = {
            "seen": self.seen,
            "fresh": self.fresh,
            "echo": self.echo,
            "reject": self.reject,
            "idle": self.idle,
        }

    def measure(self, cell: Cell) -> Sample:
        """Start the cell's server, warm it up, load it, and stop it."""
        try:
            with serving(cell.app) as subject:
                return self.loads[cell.load](subject, cell.app)
        except NotStarted:
            return Sample(0.0, 0.0, 0.0, 0, 0, {"server did not start": 1})

    def run(self, subject: Subject, mode: str, tokens: Path, **options: object) -> Load:
        """Run the generator with tokens in the Authorization header, as long as a measurement lasts."""
        given = {
            "seconds": self.seconds,
            "connections": IN_FLIGHT,
            "tokens": tokens,
            "via": "header",
            **options,
        }
        return generator.run(self.program, mode, subject.port, **given)

    def warm_up(self, subject: Subject) -> None:
        """Let every token that will be seen again be seen once."""
        self.run(subject, "connects", self.tokens.seen, count=WARM_UP, seconds=30)

    def timed(self, subject: Subject, mode: str, tokens: Path, **options: object) -> Sample:
        """Load a server and relate what it did to the CPU that it used."""
        before = subject.cpu_seconds()
        load = self.run(subject, mode, tokens, **options)
        used = max(subject.cpu_seconds() - before, 0.01)
        busy = used / load.seconds, load.cpu_seconds / load.seconds
        return Sample(load.count / used, *busy, load.p50_us, load.p99_us, load.errors)

    def seen(self, subject: Subject, app: str) -> Sample:
        """Count handshakes with tokens that come again and again."""
        self.warm_up(subject)
        return self.timed(subject, "connects", self.tokens.seen)

    def fresh(self, subject: Subject, app: str) -> Sample:
        """Count handshakes with tokens that come once."""
        self.warm_up(subject)
        return self.timed(subject, "connects", self.tokens.fresh, once=True)

    def echo(self, subject: Subject, app: str) -> Sample:
        """Count echoes, one message under way on each connection."""
        self.warm_up(subject)
        return self.timed(subject, "echo", self.tokens.seen, connections=TALKERS)

    def reject(self, subject: Subject, app: str) -> Sample:
        """Count refusals of forged tokens; a close before accept is a 403 on every ASGI server."""
        status = 401 if app.endswith("wsauth") else 403
        self.run(subject, "reject", self.tokens.forged, count=500, seconds=30, expect=status)
        return self.timed(subject, "reject", self.tokens.forged, expect=status)

    def idle(self, subject: Subject, app: str) -> Sample:
        """Weigh open connections that say nothing."""
        self.warm_up(subject)
        before = settled_memory(subject)
        options = {"connections": IDLE, "tokens": self.tokens.seen, "via": "header", "seconds": 60}
        process = generator.start(self.program, "idle", subject.port, **options)
        if process.stdout:
            process.stdout.readline()
        grown = settled_memory(subject) - before
        load = generator.finish(process)
        errors = load.errors if load.count == IDLE else {**load.errors, "not open": IDLE - load.count}
        return Sample(grown / IDLE / 1024, 0.0, 0.0, 0, 0, errors)


def measure_rounds(
    meter: Meter, cells: Iterable[Cell], rounds: int, say: Callable[[str], None]
) -> dict[Cell, list[Sample]]:
    """Measure every cell once a round; every second round goes backwards, to even out a drift."""
    order = list(cells)
    samples: dict[Cell, list[Sample]] = {cell: [] for cell in order}
    for number in range(rounds):
        for cell in order if number % 2 == 0 else reversed(order):
            sample = meter.measure(cell)
            samples[cell].append(sample)
            errors = f"  ERRORS {sample.errors}" if sample.errors else ""
            say(f"round {number + 1}/{rounds}  {cell!s:<32} {sample.value:>10,.1f}{errors}")
    return samples
