"""`[monitoring]`: what is written down of what happens, and for how long."""

from typing import Annotated, Final

from pydantic import AfterValidator, ValidationInfo

from wsauth.core.noticing import NOTICES, actions
from wsauth.core.webhooks import Webhook, check_events, check_url, key_of
from wsauth.settings.keys import Duration, Kind, NeededDuration, Table, key, placed
from wsauth.settings.limits import WrittenRate

__all__ = ["Monitoring"]

_WORDS: Final = ("store", "-")


def _sink(value: str, info: ValidationInfo) -> str:
    if not value:
        raise ValueError('audit_log cannot be off: write "store", a file, or "-" for standard output')
    return value if value in _WORDS else placed(value, info)


def _actions(value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    actions(value)
    return value


def _url(value: str) -> str:
    check_url(value)
    return value


def _secret(value: str) -> str:
    key_of(value)
    return value


def _events(value: tuple[str, ...]) -> tuple[str, ...]:
    check_events(value)
    return value


class WebhookTable(Table):
    """Where alerts are sent."""

    url: Annotated[str, AfterValidator(_url)] = key(
        ..., "https, or http to this machine.", example="https://example.com/alerts"
    )
    secret: Annotated[str, AfterValidator(_secret)] = key(
        ...,
        "whsec_ and 24 to 64 random bytes in base64, which the receiver has, too.",
        example="whsec_…",
        secret=True,
    )
    events: Annotated[tuple[str, ...], AfterValidator(_events), Kind("list of texts")] = key(
        (), "Which of the notices that are alerts; empty: all."
    )

    def webhook(self) -> Webhook:
        """Return it as the guard takes it."""
        return Webhook(self.url, self.secret, self.events)


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
    webhooks: Annotated[tuple[WebhookTable, ...], Kind("list of tables")] = key(
        (), "Where alerts are sent, signed as Standard Webhooks says."
    )
    actions: Annotated[dict[str, tuple[str, ...]], AfterValidator(_actions), Kind("table of lists")] = key(
        {},
        f"What is done about what looks like an attack: {', '.join(NOTICES)}, each a list of block, end_session, alert;"
        " an alert, where nothing is written. block is of the address, for block_for.",
        example={"second_network": ["end_session", "alert"]},
    )
