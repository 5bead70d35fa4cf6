"""Show what the door does: `python -m benchmarks.door [DEMONSTRATION …] [--quick]`.

The tables are printed. The exit status is 1 where a fact does not hold: somebody honest is not in.
"""

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks import programs
from benchmarks.door.account import Account
from benchmarks.door.guessing import guessing
from benchmarks.door.office import office
from benchmarks.door.storm import logins, sink, storm
from benchmarks.generator import CORE, build
from benchmarks.served.bench import Bench, Size
from benchmarks.subject import ROOT


@dataclass(frozen=True, slots=True)
class Push:
    """How hard the door is pushed.

    Attributes:
        guesses: of each attack.
        office: users behind one address.
        storm: handshakes with forged tokens.
        stopped: such handshakes while the audit log is locked: more than may wait.
    """

    guesses: int = 10_000
    office: int = 500
    storm: int = 10_000
    stopped: int = 20_000


QUICK = Push(300, 100, 1_000, 1_000)

Demonstration = Callable[[Bench, Push], Coroutine[Any, Any, Account]]

DEMONSTRATIONS: dict[str, Demonstration] = {
    "guessing": lambda bench, push: guessing(bench, push.guesses),
    "office": lambda bench, push: office(bench, push.office),
    "logins": lambda bench, _: logins(bench),
    "storm": lambda bench, push: storm(bench, push.storm),
    "sink": lambda bench, push: sink(bench, push.stopped),
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.door", description="Push the door of wsauth.")
    parser.add_argument("demonstrations", nargs="*", metavar="DEMONSTRATION", help=", ".join(DEMONSTRATIONS))
    parser.add_argument("--quick", action="store_true", help="with small numbers: a look, not a result")
    options = parser.parse_args()
    if unknown := set(options.demonstrations) - set(DEMONSTRATIONS):
        parser.error(f"no such demonstration: {', '.join(sorted(unknown))}; there are {', '.join(DEMONSTRATIONS)}")
    return options


def main() -> int:
    """Make the demonstrations, and return the exit status."""
    options = arguments()
    push = QUICK if options.quick else Push()
    try:
        programs.check(["gcc"])
        program = build("wsload", ROOT / "build" / "benchmarks")
    except programs.ProgramMissing as missing:
        sys.exit(f"benchmarks: {missing}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, {CORE})
    failed = False
    for name in options.demonstrations or DEMONSTRATIONS:
        with tempfile.TemporaryDirectory(prefix="wsauth-door-") as folder:
            size = replace(Size(), bystanders=push.office)
            account = uvloop.run(DEMONSTRATIONS[name](Bench(program, Path(folder), size), push))
        print("\n".join([*account.lines(), ""]), flush=True)
        failed = failed or bool(account.errors.found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
