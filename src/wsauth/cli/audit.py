"""`wsauth audit` and `wsauth why`: what happened, whether the record of it is whole, and why somebody was refused."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from wsauth.cli.options import Opened, config_option, json_option, using
from wsauth.cli.output import clean, moment, print_json, print_table
from wsauth.core.units import seconds
from wsauth.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from wsauth.core.audit import Head, Row

__all__ = ["audit", "why"]

_PAUSE: Final = 0.5
"""Seconds between two looks of `follow`."""
_LATE: Final = 5.0
"""Seconds that an entry may come after a younger one: each process writes in batches of its own."""
_SHOWN: Final = ("subject", "session_id", "connection_id", "address", "path", "code", "id", "reason", "what", "count")
_HEAD: Final = re.compile(rb'audit head (\{"chain":[^\n]*?\})')


@click.group
def audit() -> None:
    """The audit log: list, follow, verify."""


@audit.command(name="list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.option("--since", metavar="TIME", help='From then on: "2h" ago, or 2026-11-26T22:00:00Z.')
@click.option("--until", metavar="TIME", help="Before then.")
@click.option("--event", metavar="NAME", help="Only this event, such as authn_login_fail.")
@click.option("--subject", metavar="S", help="Only this subject.")
@click.option("--address", metavar="A", help="Only from this address.")
@click.option("--code", metavar="CODE", help="Only refusals with this code.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Only the newest N; without --json 100.")
def list_(
    config: Path | None,
    *,
    as_json: bool,
    since: str | None,
    until: str | None,
    event: str | None,
    subject: str | None,
    address: str | None,
    code: str | None,
    limit: int | None,
) -> None:
    """List entries, the oldest first."""
    begin, end = _time(since, "--since"), _time(until, "--until")
    named = {"event": event, "subject": subject, "address": address, "code": code}
    fields = {name: value for name, value in named.items() if value is not None}
    most = limit if limit is not None or as_json else 100

    async def work(opened: Opened) -> Sequence["Row"]:
        from wsauth.interfaces.audit import Query

        return _read(opened, Query(since=begin, until=end, limit=most, newest=True, fields=fields))

    _print(using(config, work), as_json=as_json)


@audit.command
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
def follow(config: Path | None, *, as_json: bool) -> None:
    """Print entries as they come, until Ctrl-C."""

    async def work(opened: Opened) -> None:
        from wsauth.interfaces.audit import Query

        begun = time.time()
        seen: dict[tuple[str, int], float] = {}
        while True:
            since = max(begun, time.time() - _LATE)
            new = [row for row in _read(opened, Query(since=since)) if (row.chain, row.number) not in seen]
            seen = {place: at for place, at in seen.items() if at >= since}
            seen |= {(row.chain, row.number): row.at for row in new}
            for row in new:
                _say(row, as_json=as_json)
            sys.stdout.flush()
            await asyncio.sleep(_PAUSE)

    using(config, work)


@audit.command
@config_option
@json_option
@click.option(
    "--heads",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help='A log of the server, with its lines "audit head"; it also finds an end that was cut off in the store.',
)
def verify(config: Path | None, as_json: bool, heads: Path | None) -> int:
    """Check that no entry was changed, taken out, moved or cut off; exit status 1 where one was."""

    async def work(opened: Opened) -> tuple[int, list[str]]:
        from wsauth.core.audit import check

        store = _store(opened)
        known = {"store": store.heads(), "log": [] if heads is None else _heads_in(heads)}
        rows = _chains(opened)
        return len(rows), check(rows, known, opened.backend.key_file.mac("audit").sign)

    count, found = using(config, work)
    if as_json:
        print_json({"entries": count, "problems": found})
    elif found:
        for problem in found:
            sys.stdout.write(clean(problem) + "\n")
    else:
        sys.stdout.write(f"{count} entries, and nothing is missing or changed\n")
    return 1 if found else 0


@click.command
@click.argument("id_", metavar="ID")
@config_option
@json_option
def why(id_: str, config: Path | None, as_json: bool) -> int:
    """Tell the whole story of a refusal, by the id that the client was told."""

    async def work(opened: Opened) -> Sequence["Row"]:
        from wsauth.interfaces.audit import Query

        return _read(opened, Query(limit=1, fields={"id": id_.strip().lower()}))

    found = using(config, work)
    if not found:
        raise Refused(
            "not_found",
            f"no refusal {id_!r} is in the audit log: the id is another, its entry is older than audit_retention, or "
            "in a flood it was counted in the entry of an equal one (wsauth audit list --json shows `count`)",
        )
    entry: dict[str, Any] = msgspec.json.decode(found[0].entry)
    if as_json:
        print_json(entry)
    else:
        sys.stdout.writelines(f"{clean(line)}\n" for line in _story(entry))
    return 0


def _story(entry: dict[str, Any]) -> Iterable[str]:
    what = {
        "HandshakeRefused": "a connection was refused",
        "RenewalRefused": "a renewal on an open connection was refused; the connection went on",
        "MessageRefused": "a message on an open connection was refused; the connection went on",
        "RequestRefused": "a request to the HTTP API was refused",
    }.get(entry.get("kind", ""), entry["event"])
    yield f"{entry.get('id', '')}: {what}, code {entry.get('code', '?')}"
    yield f"when       {moment(entry['at'])}"
    yield f"from       {entry.get('address', 'an unknown address')}"
    yield f"path       {' '.join(filter(None, (entry.get('method'), entry.get('path', '?'))))}"
    if "connection_id" in entry:
        yield f"connection {entry['connection_id']}"
    if "subject" in entry:
        yield f"who        {entry['subject']} of {entry.get('issuer', '?')}"
    if entry.get("kind") != "RequestRefused":
        presented = f"a credential by {entry['source']}" if entry.get("source") else "no credentials"
        yield f"presented  {presented}"
    yield f"rule       {entry.get('reason') or 'none was written down'}"
    yield f"to change  {entry.get('mend') or 'no line of the configuration changes it'}"
    if entry.get("count", 1) > 1:
        yield f"count      {entry['count']} equal refusals share this entry, each with an id of its own"


def _store(opened: Opened) -> Any:
    store = opened.backend.store
    if store is None:
        raise ConfigurationError("store.url: this store keeps no audit log")
    return store.audit


def _read(opened: Opened, query: Any) -> Sequence["Row"]:
    path = _file_of(opened)
    if path is None:
        found: Sequence[Row] = _store(opened).read(query)
        return found
    rows = [row for row in _lines(path) if query.since is None or row.at >= query.since]
    rows = [row for row in rows if query.until is None or row.at < query.until]
    if query.fields:
        rows = [row for row in rows if query.fields.items() <= _texts(row).items()]
    rows.sort(key=lambda row: (row.at, row.chain, row.number))
    if query.limit is None:
        return rows
    return rows[-query.limit :] if query.newest else rows[: query.limit]


def _chains(opened: Opened) -> Sequence["Row"]:
    path = _file_of(opened)
    if path is None:
        found: Sequence[Row] = _store(opened).chains()
        return found
    # In the order in which they stand there, so that a swap is seen.
    chains: dict[str, list[Row]] = {}
    for row in _lines(path):
        chains.setdefault(row.chain, []).append(row)
    return [row for chain in chains.values() for row in chain]


def _file_of(opened: Opened) -> str | None:
    """Return the file of the audit log; `None`: it is in the store."""
    sink = opened.settings.monitoring.audit_log
    if sink == "-":
        raise ConfigurationError(
            'monitoring.audit_log: it goes to standard output ("-"), where nothing can be looked up; write "store" '
            "or a file"
        )
    return None if sink == "store" else sink


def _lines(path: str) -> list["Row"]:
    from wsauth.services.audit import read_lines

    return read_lines(path)


def _heads_in(path: Path) -> list["Head"]:
    from wsauth.core.audit import Head

    return [msgspec.json.decode(found, type=Head) for found in _HEAD.findall(path.read_bytes())]


def _texts(row: "Row") -> dict[str, Any]:
    entry: dict[str, Any] = msgspec.json.decode(row.entry)
    return {name: value for name, value in entry.items() if isinstance(value, str)}


def _print(rows: Sequence["Row"], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            _say(row, as_json=True)
        return
    entries = [msgspec.json.decode(row.entry) for row in rows]
    print_table(
        ("at", "event", "subject", "address", "path", "code", "id", "reason"),
        (
            (moment(one["at"]), one["event"], *(one.get(name) for name in ("subject", "address", "path", "code", "id",
             "reason")))
            for one in entries
        ),
    )  # fmt: skip


def _say(row: "Row", *, as_json: bool) -> None:
    entry: dict[str, Any] = msgspec.json.decode(row.entry)
    if as_json:
        sys.stdout.write(json.dumps(entry) + "\n")
        return
    told = " ".join(f"{name}={clean(entry[name])}" for name in _SHOWN if name in entry)
    sys.stdout.write(f"{moment(row.at)} {row.event} {told}\n")


def _time(written: str | None, option: str) -> float | None:
    if written is None:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        try:
            return time.time() - seconds(written, option)
        except ConfigurationError:
            raise click.UsageError(f'{option} {written!r} is no time: write "2h", or 2026-11-26T22:00:00Z') from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
