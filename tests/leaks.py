"""Everything that served processes wrote in this run, and every secret of it: the two must have nothing in common.

A fixture of `tests/conftest.py` asks at the end of the run (ATTACKS LG-01, ASVS 16.2.5).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["SECRETS", "WRITTEN", "Written", "keep", "leaks", "secret"]

_JWS = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}")
"""A compact JWS (RFC 7515 section 3.1), or what is left of one whose signature was cut off."""
_AROUND = 60
"""Characters before a secret that are shown, so that the place can be found."""


@dataclass(frozen=True)
class Written:
    """Hold what one process wrote.

    Attributes:
        process: what it was.
        text: its standard output and standard error.
    """

    process: str
    text: str


WRITTEN: list[Written] = []
SECRETS: dict[str, str] = {}
"""Secret → the slot it is for."""


def secret(value: str, slot: str) -> str:
    """Have this password, ticket, cookie or key searched for in everything written, and return it."""
    SECRETS[value] = slot
    return value


def keep(process: str, text: str) -> None:
    """Keep what a process wrote until the end of the run."""
    WRITTEN.append(Written(process, text))


def leaks(written: Sequence[Written], secrets: Mapping[str, str]) -> list[str]:
    """Return a line for each process and slot whose secret it wrote."""
    return [line for each in written for line in _of(each, secrets)]


def _of(written: Written, secrets: Mapping[str, str]) -> list[str]:
    text = written.text
    found = {slot: text.index(value) for value, slot in secrets.items() if value in text}
    if token := _JWS.search(text):
        found["a token"] = token.start()
    return [f"{written.process} wrote {slot} after {text[max(0, at - _AROUND) : at]!r}" for slot, at in found.items()]
