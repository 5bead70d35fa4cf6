"""One thread that writes and one that reads, each with one connection; what waits together is committed together."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from wsauth.core.audit import Head
from wsauth.core.events import Event
from wsauth.errors import Refused
from wsauth.interfaces.audit import Recording, pending
from wsauth.stores.sql.engine import Parameters, Record, Transaction
from wsauth.stores.sqlite.file import DatabaseFile, refused, trouble
from wsauth.stores.sqlite.link import Link

__all__ = ["SQLiteEngine", "Statements", "in_thread"]

T = TypeVar("T")
_TOGETHER: Final = 256
"""Works in one transaction."""
_WAITING: Final = 20_000
"""Works that may wait; more than a healthy disk does in a second."""
_PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL})
"""Troubles after which the connection is as good as before."""


class Recorder(Protocol):
    """Take the event of each change, in the transaction that makes it."""

    last: Head | None

    def record(self, transaction: Transaction, event: Event) -> None:
        """Write it, or keep it until the commit."""

    def committed(self) -> None:
        """Know that what was recorded is there."""

    def undone(self) -> None:
        """Know that it is not, or perhaps not."""


class _Job(NamedTuple):
    work: Callable[[Transaction], Any]
    future: "asyncio.Future[Any]"
    recording: Recording | None = None


class _Outcome(NamedTuple):
    future: "asyncio.Future[Any]"
    result: Any
    error: BaseException | None


class SQLiteEngine:
    """Run work on a file.

    Attributes:
        recorder: takes the events of changes; `None` where nothing is audited.
    """

    recorder: Recorder | None

    def __init__(self, file: DatabaseFile) -> None:
        self.recorder = None
        self._writer = _Line(file, writes=True, recorder=lambda: self.recorder)
        self._reader = _Line(file, writes=False)

    def start(self) -> None:
        """Start the threads."""
        self._writer.start()
        self._reader.start()

    @property
    def reachable(self) -> bool:
        """Tell whether the last write came through."""
        return self._writer.reachable

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what the work found; it sees everything that was committed before this was called."""
        return await self._reader.put(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Return what the work returned, once it is on the disk."""
        return await self._writer.put(work)

    async def aclose(self) -> None:
        """Finish what waits, and end the threads."""
        await self._writer.aclose()
        await self._reader.aclose()


class Statements:
    """Be the transaction of one connection. Every cursor is read to its end, or its transaction would not end."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def one(self, statement: str, parameters: Parameters = {}) -> Record | None:  # noqa: B006  nobody changes it
        rows = self._execute(statement, parameters).fetchall()
        return rows[0] if rows else None

    def all(self, statement: str, parameters: Parameters = {}) -> Sequence[Record]:  # noqa: B006
        return self._execute(statement, parameters).fetchall()

    def run(self, statement: str, parameters: Mapping[str, Any] = {}) -> int:
        return self._execute(statement, parameters).rowcount


class _Line:
    """Be one thread with one connection, and the works that wait for it."""

    def __init__(
        self, file: DatabaseFile, *, writes: bool, recorder: Callable[[], Recorder | None] = lambda: None
    ) -> None:
        self.reachable = True
        self._recorder = recorder
        self._link = Link(file, writes=writes)
        self._begin = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"wsauth-store-{'writer' if writes else 'reader'}", daemon=True)
        self._open = False

    # In the loop.

    def start(self) -> None:
        self._open = True
        self._thread.start()

    async def put(self, work: Callable[[Transaction], T]) -> T:
        if not self._open:
            raise Refused("unavailable", "the store is closed")
        if self._jobs.qsize() >= _WAITING:
            raise Refused("unavailable", "too much is waiting for the store", retry_after=1)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        recording = pending()
        # Of the writes of one change the first that does something takes its entry along.
        self._jobs.put(_Job(work, future, None if recording is None or recording.written else recording))
        return await future

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open = False
        self._jobs.put(None)
        await in_thread(self._thread.join)

    # In the thread.

    def _run(self) -> None:
        going = True
        while going:
            jobs, going = self._take()
            # Whoever was cancelled while waiting does not want it any more.
            jobs = [job for job in jobs if not job.future.cancelled()]
            if jobs:
                _hand_over(self._do(jobs))
        self._link.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for work, and return all that is there with it, and whether there may be more."""
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) >= _TOGETHER:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs, True
        return jobs, False

    def _do(self, jobs: Sequence[_Job]) -> list[_Outcome]:
        link, recorder = self._link, self._recorder()
        try:
            connection = link.get()
            connection.execute(self._begin)
            statements = Statements(connection)
            outcomes = [_attempt(connection, statements, job, recorder) for job in jobs]
            connection.execute("COMMIT")
            link.check()
        except Exception as error:  # noqa: BLE001  whatever it is, everybody who waits for this has to hear it
            self.reachable = False
            link.undo()
            if recorder is not None:
                recorder.undone()
                _unmark(jobs)
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING:
                link.suspect()
            return [_Outcome(job.future, None, refused(error) if trouble(error) else error) for job in jobs]
        self.reachable = True
        if recorder is not None:
            recorder.committed()
        return outcomes


def _attempt(connection: sqlite3.Connection, statements: Statements, job: _Job, recorder: Recorder | None) -> _Outcome:
    """Do one work; when it raises, nothing of it remains, and everything that was done before it does."""
    connection.execute("SAVEPOINT work")
    try:
        result = job.work(statements)
        event = None if job.recording is None or recorder is None else job.recording.make(result)
    except Exception as error:
        if trouble(error):
            raise  # SQLite may have undone the whole transaction
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return _Outcome(job.future, None, error)
    if event is not None and recorder is not None and job.recording is not None:
        # What fails here fails the whole transaction: there is no change without its entry.
        recorder.record(statements, event)
        job.recording.written = True
    connection.execute("RELEASE work")
    return _Outcome(job.future, result, None)


def _unmark(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.recording is not None:
            job.recording.written = False


def _hand_over(outcomes: Sequence[_Outcome]) -> None:
    """Tell the waiting loops what came of it: one call each."""
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.future.get_loop(), []).append(outcome)
    for loop, its in loops.items():
        try:
            loop.call_soon_threadsafe(_settle, its)
        except RuntimeError:  # the loop was closed; nobody waits there
            continue


def _settle(outcomes: Sequence[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # its caller was cancelled meanwhile
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


async def in_thread(function: Callable[[], T]) -> T:
    """Run a function that blocks in a thread that ends with it, unlike those of `asyncio.to_thread`."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def run() -> None:
        try:
            outcome = _Outcome(future, function(), None)
        except Exception as error:  # noqa: BLE001  it is raised where it is awaited
            outcome = _Outcome(future, None, error)
        _hand_over([outcome])

    thread = Thread(target=run, name="wsauth-store", daemon=True)
    thread.start()
    try:
        return await future
    finally:
        if future.done() and not future.cancelled():
            thread.join()
