"""`[monitoring]`: what is written down of what happens, and for how long."""

from typing import Annotated, Final

from pydantic import AfterValidator, ValidationInfo

from wsauth.settings.keys import Duration, Kind, NeededDuration, Table, key, placed
from wsauth.settings.limits import WrittenRate

__all__ = ["Monitoring"]

_WORDS: Final = ("store", "-")


def _sink(value: str, info: ValidationInfo) -> str:
    if not value:
        raise ValueError('audit_log cannot be off: write "store", a file, or "-" for standard output')
    return value if value in _WORDS else placed(value, info)


class Monitoring(Table):
    """What is written down of what happens, and for how long."""

    audit_log: Annotated[str, AfterValidator(_sink), Kind('"store", file or "-"')] = key(
        "store",
        "Where the audit log is written: the store; a file, or - for standard output, as lines of JSON.",
    )
    audit_retention: Duration = key(
        "90d", "How long the store keeps entries of the audit log; off: for ever. A file is yours to rotate."
    )
    block_after: WrittenRate = key(
        "",
        "Distinct wrong credentials of one address after which it is blocked, counted in each process: strangers and "
        "passwords are refused, a valid token still passes.",
        example="100/10m",
    )
    block_for: NeededDuration = key("1h", "How long such a block lasts.")
