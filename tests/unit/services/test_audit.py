"""The trail writes what happens in its place, counts what is equal, and says what it could not keep (LG-09)."""

import logging
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from threading import Event as Flag
from time import monotonic, sleep

import msgspec
import pytest

from wsauth.core import events
from wsauth.core.audit import Head, Row, check
from wsauth.errors import ConfigurationError
from wsauth.services import audit
from wsauth.services.audit import LineSink, Trail, read_lines
from wsauth.services.events import Bus
from wsauth.services.keyfile import KeyFile
from wsauth.testing.clock import FakeClock

SIGN = KeyFile.in_memory().mac("audit").sign


class Sink:
    """Keep entries in a list, or refuse them while it is `broken`; each try sets `tried`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.broken = False
        self.tried = Flag()

    def write(self, rows: Sequence[Row]) -> None:
        try:
            if self.broken:
                raise OSError(28, "No space left on device")
            self.rows += rows
        finally:
            self.tried.set()

    def close(self) -> None:
        pass

    def entries(self) -> list[dict[str, object]]:
        return [msgspec.json.decode(row.entry) for row in self.rows]


class Store:
    """Be the part of a store that a trail with a sink of its own needs."""

    def __init__(self) -> None:
        self.kept: list[Head] = []

    def record_to(self, tell: Callable[[events.Event], None]) -> None:
        self.tell = tell

    def last(self) -> None:
        return None

    def keep_head(self, head: Head) -> None:
        self.kept.append(head)


class Setting:
    """Be a trail with its surroundings."""

    def __init__(self) -> None:
        self.sink, self.store, self.bus = Sink(), Store(), Bus()
        self.trail = Trail(
            self.store, self.sink, node="n", sign=SIGN, clock=FakeClock(), retention=0.0, waiting=10  # type: ignore[arg-type]
        )  # fmt: skip
        self.trail.subscribe(self.bus)

    def refuse(self, code: str = "token_invalid", path: str = "/auth/me", address: str = "192.0.2.1") -> None:
        self.bus.publish(
            events.RequestRefused(
                at=1.0, code=code, id="abcdefghijkl", reason="r", mend="m", method="GET", path=path, address=address
            )
        )

    def broken(self) -> None:
        """Have the sink fail, with one entry at it."""
        self.sink.broken = True
        self.refuse(path="/first")
        assert self.sink.tried.wait(5)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Generator[Setting]:
    """Return a trail that tries again at once."""
    monkeypatch.setattr(audit, "_AGAIN", 0.02)
    made = Setting()
    yield made
    made.trail.close()


def _until(true: Callable[[], bool]) -> None:
    until = monotonic() + 5
    while not true():
        assert monotonic() < until
        sleep(0.005)


def test_what_happens_is_written(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """Each event becomes an entry, and the end is said in the log and in the store."""
    caplog.set_level(logging.INFO, "wsauth")
    setting.refuse()
    setting.refuse()
    setting.trail.close()
    assert [entry["path"] for entry in setting.sink.entries()] == ["/auth/me"] * 2
    assert [head.number for head in setting.store.kept] == [2]
    assert check(setting.sink.rows, {"store": setting.store.kept}, SIGN) == []
    assert "audit head {" in caplog.text


def test_equal_refusals_are_counted_above_half(setting: Setting) -> None:
    """A flood of one kind from one network is one entry; others keep their own."""
    setting.broken()
    for _ in range(4):
        setting.refuse()
    for _ in range(50):
        setting.refuse()
        setting.refuse(address="2001:db8::1")
        setting.refuse(address="2001:db8::2")
    assert setting.trail.stopped() is None
    setting.sink.broken = False
    setting.trail.close()
    assert [entry.get("count", 1) for entry in setting.sink.entries()] == [1, 1, 1, 1, 1, 50, 100]


def test_a_full_queue_keeps_everybody_out_and_says_how_much_is_missing(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is left out without an entry that says how much."""
    setting.broken()
    for number in range(9):
        setting.refuse(path=f"/{number}")
    assert setting.trail.stopped() is None
    for number in range(7):
        setting.refuse(path=f"/more/{number}")
    stopped = setting.trail.stopped()
    assert stopped is not None
    assert (stopped.code, stopped.retry_after) == ("unavailable", 5)
    setting.sink.broken = False
    _until(lambda: setting.trail.stopped() is None)
    setting.trail.close()
    entries = setting.sink.entries()
    assert len(entries) == 11
    assert [entry["count"] for entry in entries if entry["event"] == "audit_left_out"] == [7]
    assert check(setting.sink.rows, {"store": setting.store.kept}, SIGN) == []
    assert caplog.text.count("the audit log cannot be written") == 1
    assert "No space left on device" in caplog.text


def test_what_cannot_be_written_at_the_end_is_said(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """A process does not wait for ever for a full disk."""
    setting.broken()
    setting.refuse()
    setting.trail.close()
    assert "2 entries are lost" in caplog.text


def test_lines_are_read_back(tmp_path: object) -> None:
    """A file has one line for each entry, for its owner only."""
    path = f"{tmp_path}/audit.jsonl"
    setting = Setting()
    trail = Trail(
        setting.store, LineSink(path), node="n", sign=SIGN, clock=FakeClock(), retention=0.0  # type: ignore[arg-type]
    )  # fmt: skip
    trail.subscribe(setting.bus)
    setting.refuse()
    trail.close()
    setting.trail.close()
    rows = read_lines(path)
    assert [row.number for row in rows] == [1]
    assert check(rows, {"store": setting.store.kept[:1]}, SIGN) == []


def test_only_a_file_can_be_appended_to(tmp_path: Path) -> None:
    """A pipe, whose reader may come late or never, is refused at once, and so is a folder."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigurationError, match=r"monitoring\.audit_log: .* is no regular file"):
            LineSink(str(path))
    LineSink(os.devnull)
