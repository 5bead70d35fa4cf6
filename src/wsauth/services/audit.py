"""Write down what happened: changes with their transaction, decisions by one thread, and nothing lost in silence."""

import logging
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Final

import msgspec

from wsauth.core import events
from wsauth.core.audit import LEFT_OUT, TABLE, Chain, Row, Sign, entry_of, name_of
from wsauth.core.throttling import network_of
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.audit import AuditStore, Sink, pending
from wsauth.interfaces.clock import Clock
from wsauth.services.events import Bus

__all__ = ["WAITING", "LineSink", "Trail", "read_lines"]

_log = logging.getLogger("wsauth")

WAITING: Final = 10_000
"""Entries that may wait to be written."""
_TOGETHER: Final = 1000
"""Entries in one transaction."""
_GATHERING: Final = 0.02
"""Seconds that the first of them waits for others."""
_AGAIN: Final = 1.0
"""Seconds until what could not be written is tried again."""
_HEADS: Final = 60.0
"""Seconds between two heads in the log."""
_RETENTION: Final = 3600.0
"""Seconds between two looks for what is too old."""
_PATIENCE: Final = 5.0
"""Seconds that what waits may take at the end."""

_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT

_Key = tuple[type[events.Event], str, str, str]


class Trail:
    """Take the events of a process into the audit log.

    Args:
        store: keeps changes, and heads.
        sink: takes decisions; `None`: the store's own. With a sink of one's own it takes changes as well.
        node: the process's id.
        sign: returns the MAC of bytes.
        clock: tells the time.
        retention: seconds that entries are kept; 0.0: for ever.
        waiting: entries that may wait.
    """

    def __init__(
        self,
        store: AuditStore,
        sink: Sink | None,
        *,
        node: str,
        sign: Sign,
        clock: Clock,
        retention: float,
        waiting: int = WAITING,
    ) -> None:
        self._store = store
        self._own = sink is None
        self._sink = store.sink if sink is None else sink
        self._node = node
        self._sign = sign
        self._clock = clock
        self._retention = retention
        self._limit = waiting
        self._chain = Chain(f"{node}-d", sign)
        self._changed = Condition()
        self._single: deque[events.Event] = deque()
        self._equal: dict[_Key, tuple[events.Event, int]] = {}
        self._writing = 0
        self._left_out = 0
        self._full = False
        self._failing = False
        self._closing = False
        self._thread: Thread | None = None
        self._said: tuple[int, int] = (0, 0)
        self._next_heads = clock.now() + _HEADS
        self._next_retention = 0.0
        if self._own:
            store.record(f"{node}-c", node, sign)
        else:
            store.record_to(self._put)

    def subscribe(self, bus: Bus) -> None:
        """Take every event that the log's table names."""
        for kind in TABLE:
            bus.subscribe(kind, self._take)

    def start(self) -> None:
        """Start the thread that writes; without it, it starts with the first entry."""
        with self._changed:
            self._begin()

    def stopped(self) -> Refused | None:
        """Return why nobody new may come in: what happens could not be written down."""
        if not self._full:
            return None
        return Refused(
            "unavailable",
            f"the audit log cannot be written, and {self._limit} entries wait for it",
            mend="make room on the disk of the audit log, [monitoring] audit_log",
            retry_after=5,
        )

    def close(self) -> None:
        """Write what waits, and the heads; blocks, for seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_PATIENCE + _AGAIN)
        self._sink.close()

    # In the loop.

    def _take(self, event: events.Event) -> None:
        change = pending()
        if change is None or not change.written:
            self._put(event)

    def _put(self, event: events.Event) -> None:
        with self._changed:
            waiting = len(self._single) + len(self._equal) + self._writing
            key = _key_of(event) if waiting * 2 >= self._limit else None
            if key is not None and key in self._equal:
                first, count = self._equal[key]
                self._equal[key] = (first, count + 1)
            elif waiting >= self._limit:
                self._full = True
                self._left_out += 1
            elif key is not None:
                self._equal[key] = (event, 1)
            else:
                self._single.append(event)
            self._begin()
            if not waiting:
                self._changed.notify()

    def _begin(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = Thread(target=self._run, name="wsauth-audit", daemon=True)
            self._thread.start()

    # In the thread.

    def _run(self) -> None:
        # Opens the file now: whoever comes first need not wait for it, and a descriptor is kept for it.
        self._written(())
        while True:
            self._wait()
            rows = self._rows()
            closing = self._closing
            last = False
            while rows and not self._written(rows):
                if last:
                    self._give_up()
                    return
                with self._changed:
                    if not self._closing:
                        self._changed.wait(_AGAIN)
                    last = self._closing
            self._look_after(closing=closing)
            if closing and not self._single and not self._equal and not self._left_out:
                return

    def _wait(self) -> None:
        with self._changed:
            if not self._closing and not self._single and not self._equal and not self._left_out:
                self._changed.wait(_AGAIN)
            if not self._closing and (self._single or self._equal):
                self._changed.wait(_GATHERING)

    def _rows(self) -> list[Row]:
        """Take what waits, each in its place in the chain."""
        with self._changed:
            taken = [(self._single.popleft(), 1) for _ in range(min(_TOGETHER, len(self._single)))]
            if not self._single:
                taken += self._equal.values()
                self._equal = {}
            left_out = 0
            if self._left_out and not self._failing:
                left_out, self._left_out = self._left_out, 0
            self._writing = len(taken)
        chain, node = self._chain, self._node
        rows = [
            chain.link(event.at, name_of(event), msgspec.json.encode(entry_of(event, node, count)))
            for event, count in taken
        ]
        if left_out:
            now = self._clock.now()
            entry = {"at": now, "event": LEFT_OUT, "node": node, "count": left_out}
            rows.append(chain.link(now, LEFT_OUT, msgspec.json.encode(entry)))
        return rows

    def _written(self, rows: Sequence[Row]) -> bool:
        try:
            self._sink.write(rows)
        except Exception as error:  # noqa: BLE001  whatever it is, it is tried again
            if not self._failing:
                _log.error("the audit log cannot be written: %s; entries wait", error)
            self._failing = True
            return False
        if self._failing:
            _log.warning("the audit log is written again")
        with self._changed:
            self._failing = False
            self._writing = 0
            self._full = False
        return True

    def _give_up(self) -> None:
        with self._changed:
            lost = self._writing + len(self._single) + sum(n for _, n in self._equal.values()) + self._left_out
        _log.error("the audit log could not be written until the end: %d entries are lost", lost)

    def _look_after(self, *, closing: bool) -> None:
        now = self._clock.now()
        if closing or now >= self._next_heads:
            self._next_heads = now + _HEADS
            self._say_heads()
        if not closing and self._own and self._retention and now >= self._next_retention:
            self._next_retention = now + _RETENTION
            try:
                self._store.remove_before(now - self._retention, self._sign)
            except Exception as error:  # noqa: BLE001  it is tried again in an hour
                _log.warning("old entries of the audit log could not be removed: %s", error)

    def _say_heads(self) -> None:
        """Say how far the chains go: in the log, and that of decisions in the store, where changes keep theirs."""
        last = self._store.last()
        numbers = (self._chain.number, 0 if last is None else last.number)
        if numbers == self._said:
            return
        decisions = self._chain.head()
        if self._chain.number != self._said[0]:
            _log.info("audit head %s", msgspec.json.encode(decisions).decode())
            try:
                self._store.keep_head(decisions)
            except Exception as error:  # noqa: BLE001  the log has it
                _log.warning("the head of the audit log could not be kept in the store: %s", error)
        if last is not None and last.number != self._said[1]:
            _log.info("audit head %s", msgspec.json.encode(last).decode())
        self._said = numbers


class LineSink:
    """Append entries to a file, or standard output, as lines of JSON.

    Args:
        path: of the file; `-` for standard output.
        command: standard output is that of a command, whose answer stands there: standard error is taken instead.

    Raises:
        ConfigurationError: what is there is no file, as a pipe whose reader may come late or never.
    """

    def __init__(self, path: str, *, command: bool = False) -> None:
        if path not in ("-", os.devnull) and Path(path).exists() and not Path(path).is_file():
            raise ConfigurationError(f'monitoring.audit_log: {path} is no regular file; "-" is standard output')
        self._path = path
        self._command = command

    def write(self, rows: Sequence[Row]) -> None:
        """Append the entries, each a line; a file that was rotated away is begun anew.

        Raises:
            OSError: it could not.
        """
        text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        if self._path == "-":
            stream = sys.stderr if self._command else sys.stdout
            stream.write(text.decode())
            stream.flush()
            return
        with os.fdopen(os.open(self._path, _APPENDING, 0o600), "ab", buffering=0) as file:
            begun = file.seek(0, 2)
            try:
                if file.write(text) != len(text):
                    raise OSError("the disk is full")
            except BaseException:
                file.truncate(begun)
                raise

    def close(self) -> None:
        """Have nothing to let go of."""


def read_lines(path: str | Path) -> list[Row]:
    """Return the entries of a file that `LineSink` wrote; what is no entry is none.

    Raises:
        OSError: it cannot be read.
    """
    found = []
    for line in Path(path).read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Row))
        except msgspec.DecodeError:
            found.append(Row("?", 1, 0.0, "?", "", msgspec.Raw(b"{}")))
    return found


def _key_of(event: events.Event) -> _Key | None:
    """Return what equal refusals and failures have in common; `None` for everything else."""
    if isinstance(event, events.RefusalEvent):
        return type(event), event.code, event.about.path, network_of(event.about.address)
    if isinstance(event, events.RequestRefused):
        return type(event), event.code, event.path, network_of(event.address)
    if isinstance(event, events.LoginFailed):
        return type(event), event.code, event.account, network_of(event.address)
    return None
