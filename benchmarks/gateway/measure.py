"""Measure cells: each in a gateway of its own, with a backend of its own."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import generator
from benchmarks.gateway.credentials import Own
from benchmarks.gateway.crowd import crowd
from benchmarks.gateway.process import PATIENCE, Gateway, announced_port, running
from benchmarks.gateway.rows import Cell
from benchmarks.gateway.stacks import STACKS, Ground, make_certificate
from benchmarks.gateway.tls import hold
from benchmarks.gateway.wsauth import ORIGIN
from benchmarks.generator import CORE
from benchmarks.served.bench import Busy, Finding
from benchmarks.subject import NotStarted, cpu_seconds_of
from benchmarks.tokens import SEEN, TokenFiles

IN_FLIGHT = 32
"""Handshakes under way at once."""

TALKERS = 64
"""Connections that exchange messages at saturation."""

CALM, PACE_MS = 8, 0.4
"""Connections below saturation, and milliseconds between two messages of each: 20,000 a second."""

ENOUGH = 0.95
"""The share of these messages that must have come back."""

MIXED = "20-900"
"""Bytes of messages of mixed sizes."""

BULK, STREAMS = 65_536, 4
"""Bytes of a large frame, and connections that send or receive them."""

STUCK = 100
"""Connections with an end that reads nothing."""

WARM_UP = SEEN + 500
"""Handshakes before anything is counted: every token that will be seen again has then been seen."""

FRESH_PER_SECOND = 12_000
"""More handshakes than a gateway of ours manages in a second."""

REST = 0.5
"""Seconds until memory has come to rest."""

QUIET = 0.05
"""The share of a core that a gateway uses at most when it has nothing to do: ours looks at its store all the time."""

LATER = 1.5
"""Seconds in which connections that are stuck must cost nothing more."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything a run has: seconds of a measurement, and connections."""

    seconds: float = 1
    idle: int = 8_000
    idle_tls: int = 1_000
    crowd: int = 9_000
    bystanders: int = 500


class Meter:
    """Measures one cell at a time."""

    def __init__(self, load: Path, echo: Path, folder: Path, size: Size) -> None:
        """Make every credential; load and echo are the programs of `benchmarks/load`."""
        self.program = load
        self.echo = echo
        self.folder = folder
        self.size = size
        self.fresh = round(FRESH_PER_SECOND * size.seconds)
        self.tokens = TokenFiles(folder, self.fresh)
        self.own = Own(folder / "own", self.fresh)
        self.certificate = make_certificate(folder / "certificate.pem")
        self.loads: dict[str, Callable[[Load], Finding]] = {
            "seen": lambda load: load.connects(),
            "fresh": lambda load: load.connects(tokens=self.fresh_of(load.stack), once=True),
            "ticket": lambda load: load.connects(tokens=load.tickets(), via="ticket", once=True),
            "cookie": lambda load: load.connects(tokens=self.own.cookies, via="cookie", origin=ORIGIN),
            "reject": lambda load: load.reject(),
            "paced": lambda load: load.paced(),
            "depth 1": lambda load: load.timed("echo", connections=TALKERS),
            "depth 8": lambda load: load.timed("echo", connections=TALKERS, depth=8),
            "mixed 8": lambda load: load.timed("echo", connections=TALKERS, depth=8, size=MIXED),
            "up": lambda load: load.timed("up", connections=STREAMS, path="/sink", size=BULK),
            "down": lambda load: load.timed("down", connections=STREAMS, path="/flood"),
            "idle": lambda load: load.idle(),
            "idle TLS": lambda load: load.idle_tls(),
            "deaf client": lambda load: load.stuck(path="/flood", deaf=True),
            "deaf backend": lambda load: load.stuck(path="/deaf", flood=True, size=BULK),
        }

    def seen_of(self, stack: str) -> Path:
        """Return the tokens that are seen again and again."""
        return self.own.seen if stack == "wsauth_default" else self.tokens.seen

    def fresh_of(self, stack: str) -> Path:
        """Return the tokens of which each is used once."""
        return self.own.fresh if stack == "wsauth_default" else self.tokens.fresh

    def measure(self, cell: Cell) -> Finding:
        """Start the cell's gateway, load it, and stop it; what stops the measurement is an error like any other."""
        try:
            with self.ground() as (ground, backend):
                if cell.load == "crowd":
                    return crowd(self.program, ground.folder, ground.backend, self.size.crowd, self.size.bystanders)
                with STACKS[cell.stack].start(ground) as gateway:
                    return self.loads[cell.load](Load(self, cell.stack, gateway, backend, ground.folder))
        except (NotStarted, OSError, EOFError, TimeoutError) as error:
            return Finding({}, {f"{type(error).__name__}: {error}"[:300]: 1})

    @contextmanager
    def ground(self) -> Iterator[tuple[Ground, int]]:
        """Yield what a gateway stands on, and the process of the backend."""
        with tempfile.TemporaryDirectory(prefix="cell-", dir=self.folder) as name:
            folder = Path(name)
            with running([str(self.echo)], CORE, folder / "echo.log") as backend:
                port = announced_port(backend, folder / "echo.log")
                yield Ground(folder, port, self.own, self.certificate), backend.pid


@dataclass(frozen=True, slots=True)
class Load:
    """Loads one running gateway."""

    meter: Meter
    stack: str
    gateway: Gateway
    backend: int
    folder: Path

    def run(self, mode: str, **options: object) -> generator.Load:
        """Run the generator, as long as a measurement lasts, with tokens in the Authorization header."""
        given = {
            "seconds": self.meter.size.seconds,
            "connections": IN_FLIGHT,
            "tokens": self.meter.seen_of(self.stack),
            "via": "header",
            **options,
        }
        return generator.run(self.meter.program, mode, self.gateway.port, **given)

    def warm_up(self) -> None:
        """Let every token that will be seen again be seen once."""
        self.run("connects", count=WARM_UP, seconds=30)

    def timed(self, mode: str, **options: object) -> Finding:
        """Load the gateway after a warm-up, and relate what it did to the CPU that it used."""
        self.warm_up()
        return self.counted(mode, **options)

    def counted(self, mode: str, **options: object) -> Finding:
        """Load the gateway, and relate what it did to the CPU that it used."""
        before, behind = self.gateway.cpu_seconds(), cpu_seconds_of(self.backend)
        cores = Busy()
        load = self.run(mode, **options)
        shares = cores.shares()
        used = max(self.gateway.cpu_seconds() - before, 1e-3)
        others = load.cpu_seconds + cpu_seconds_of(self.backend) - behind
        values = {
            "per_second": load.count / used,
            "us": used / max(load.count, 1) * 1e6,
            "gateway_busy": used / load.seconds,
            "others_busy": others / load.seconds,
            "strangers_busy": max(shares["server_busy"] - used / load.seconds, 0.0),
            "p50_ms": load.p50_us / 1e3,
            "p99_ms": load.p99_us / 1e3,
        }
        return Finding(values, load.errors if load.count else {**load.errors, "nothing was done": 1})

    def paced(self) -> Finding:
        """Count echoes below saturation; fewer messages than were due is not the load it is said to be."""
        finding = self.timed("echo", connections=CALM, pace=PACE_MS)
        rate, due = finding.values["per_second"] * finding.values["gateway_busy"], CALM / PACE_MS * 1e3
        late = {f"only {rate:,.0f} messages a second": 1} if rate < due * ENOUGH else {}
        return Finding(finding.values, {**finding.errors, **late})

    def connects(self, **options: object) -> Finding:
        """Count whole connections: handshake, one echo, close."""
        if options.get("via") == "cookie":
            self.run("connects", count=WARM_UP, **{**options, "seconds": 30})
            return self.counted("connects", **options)
        return self.timed("connects", **options)

    def tickets(self) -> Path:
        """Make tickets; each opens one connection."""
        return self.meter.own.tickets(self.folder / "tickets", self.meter.fresh)

    def reject(self) -> Finding:
        """Count refusals of forged tokens."""
        forged = self.meter.tokens.forged
        self.run("reject", tokens=forged, count=500, seconds=30)
        return self.counted("reject", tokens=forged)

    def idle(self) -> Finding:
        """Weigh open connections that say nothing."""
        count = self.meter.size.idle
        self.warm_up()
        before = self.settled()
        process = self.hold(connections=count)
        grown = self.settled() - before
        load = generator.finish(process)
        return Finding({"kib": grown / count / 1024}, _with_missing(load.errors, count - load.count))

    def idle_tls(self) -> Finding:
        """Weigh open connections over TLS that say nothing."""
        count = self.meter.size.idle_tls
        ca = self.meter.certificate.with_name("ca.pem")
        words = (str(self.gateway.port), str(ca), str(self.meter.seen_of(self.stack)))
        with hold(*words, 50, self.folder / "warm-up.log"):
            pass
        before = self.settled()
        with hold(*words, count, self.folder / "tls.log") as opened:
            grown = self.settled() - before
        return Finding({"kib": grown / count / 1024}, _with_missing({}, count - opened))

    def stuck(self, **options: object) -> Finding:
        """Weigh connections of which one end sends as much as it can and the other one reads nothing."""
        self.warm_up()
        before = self.settled()
        process = self.hold(connections=STUCK, **options)
        try:
            first = self.at_rest()
            cpu, began = self.gateway.cpu_seconds(), time.monotonic()
            later = self.settled(LATER)
            busy = (self.gateway.cpu_seconds() - cpu) / (time.monotonic() - began)
        finally:
            load = generator.finish(process)
        values = {
            "kib": (max(first, later) - before) / STUCK / 1024,
            "grown_later_kib": (later - first) / STUCK / 1024,
            "busy": busy,
        }
        return Finding(values, _with_missing(load.errors, STUCK - load.count))

    def hold(self, **options: object) -> subprocess.Popen[str]:
        """Start a generator that holds its connections, and return when they are open."""
        given = {"tokens": self.meter.seen_of(self.stack), "via": "header", "seconds": 60, **options}
        process = generator.start(self.meter.program, "idle", self.gateway.port, **given)
        if process.stdout:
            process.stdout.readline()
        return process

    def settled(self, seconds: float = REST) -> int:
        """Return the gateway's memory in bytes after letting it come to rest."""
        time.sleep(seconds)
        return self.gateway.memory()

    def at_rest(self) -> int:
        """Return the gateway's memory in bytes as soon as it has nothing to do.

        Raises:
            TimeoutError: it always has.
        """
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            before = self.gateway.cpu_seconds()
            memory = self.settled()
            if self.gateway.cpu_seconds() - before < QUIET * REST:
                return memory
        raise TimeoutError("the gateway did not come to rest")


def _with_missing(errors: dict[str, int], missing: int) -> dict[str, int]:
    return {**errors, "not open": missing} if missing else errors
