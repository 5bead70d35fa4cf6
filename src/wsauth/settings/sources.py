"""Where each value came from, so that an error can name it: the command line, the environment or the file."""

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Inside", "Place", "Problem", "Sources", "dotted"]

Place = tuple[str | int, ...]
"""Where a value stands: `("routes", 0, "path")`."""


def dotted(place: Place) -> str:
    """Return a place as people write it: `routes[0].path`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


class Problem(Exception):
    """Say what is wrong at a place of the configuration.

    Args:
        place: the key.
        text: what is wrong with it, and the mend.
    """

    def __init__(self, place: Place, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


class Inside(ValueError):
    """Say what is wrong inside a key's value, where the whole value is checked at once.

    Args:
        at: where, seen from the key.
        text: what is wrong there, and the mend.
    """

    def __init__(self, at: Place, text: str) -> None:
        super().__init__(text)
        self.at = at


@dataclass
class Sources:
    """Remember which variable or option set which key.

    Attributes:
        file: where every other value came from.
        named: place → variable or option.
    """

    file: Path | None
    named: dict[Place, str] = field(default_factory=dict)

    def of(self, place: Place) -> str:
        """Return the name of what set the value at a place, or the table around it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.named:
                return self.named[place[:end]]
        return str(self.file or "the configuration")
