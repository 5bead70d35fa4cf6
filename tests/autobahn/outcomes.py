"""What the Autobahn suite says of its cases, and what the way through the gateway may change about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Change", "Outcome", "changes", "keep", "kept", "order", "read_index"]

_PASSED = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
_NOT_DONE = "UNIMPLEMENTED"


@dataclass(frozen=True)
class Outcome:
    """Hold how one case ended.

    Attributes:
        behavior: the suite's word for what the server did.
        closing: the suite's word for how it closed.
        code: of the server's close frame; `None` for none.
    """

    behavior: str
    closing: str
    code: int | None

    @property
    def passed(self) -> bool:
        """Tell whether neither is a failure."""
        return self.behavior in _PASSED and self.closing in _PASSED

    @property
    def undone(self) -> bool:
        """Tell whether the server did not agree on what the case is about: an extension or its parameters."""
        return self.behavior == _NOT_DONE

    def __str__(self) -> str:
        closing = "" if self.closing == self.behavior else f", closing {self.closing}"
        return f"{self.behavior}{closing}, {self.code or 'no code'}"


@dataclass(frozen=True)
class Change:
    """Say that a case ended in another way.

    Attributes:
        case: its number.
        direct: how it ended straight.
        through: how it ended through the gateway.
        worse: it passed straight and does not pass through the gateway.
    """

    case: str
    direct: Outcome
    through: Outcome
    worse: bool


def order(case: str) -> tuple[int, ...]:
    """Return what cases are sorted by: `9.10.1` comes after `9.9.1`."""
    return tuple(int(part) for part in case.split("."))


def changes(direct: Mapping[str, Outcome], through: Mapping[str, Outcome], *, compressed: bool) -> list[Change]:
    """Return the cases that end in another way, in order.

    Args:
        direct: straight.
        through: through the gateway.
        compressed: the gateway lets permessage-deflate pass. Where it does not, a case about it is not done, and that
            is no change.

    Raises:
        ValueError: they are not the same cases.
    """
    if missing := direct.keys() ^ through.keys():
        raise ValueError(f"only one of the two ran {', '.join(sorted(missing, key=order))}")
    found = []
    for case in sorted(direct, key=order):
        before, after = direct[case], through[case]
        if before != after and not (after.undone and not compressed):
            found.append(Change(case, before, after, before.passed and not after.passed))
    return found


def read_index(file: Path) -> dict[str, Outcome]:
    """Read the `index.json` that `wstest` writes for one server."""
    (cases,) = json.loads(file.read_text("utf-8")).values()
    return {
        case: Outcome(each["behavior"], each["behaviorClose"], each["remoteCloseCode"]) for case, each in cases.items()
    }


def keep(file: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Write outcomes, one line for each case."""
    lines = [
        f'  "{case}": {json.dumps([each.behavior, each.closing, each.code])}'
        for case, each in sorted(outcomes.items(), key=lambda pair: order(pair[0]))
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def kept(file: Path) -> dict[str, Outcome]:
    """Read what `keep` wrote; nothing where there is none."""
    if not file.exists():
        return {}
    return {case: Outcome(*each) for case, each in json.loads(file.read_text("utf-8")).items()}
