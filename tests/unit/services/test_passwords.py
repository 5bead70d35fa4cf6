"""Passwords: what is good, what it costs, and the threads that do the work."""

import asyncio
import itertools
import os
import re
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable

import anyio
import bcrypt
import pytest

from wsauth.errors import Refused
from wsauth.services.passwords import HARD_LIMIT, Passwords, Verdict, Workers, verifiable

TYPED = "correct horse battery"
BCRYPT_LIMIT = 72
CHEAP = 64
"""KiB: what most tests ask needs no cost."""


def imported(password: bytes, prefix: bytes = b"$2b$") -> str:
    """Return the hash that another system had, at the lowest cost."""
    return (prefix + bcrypt.hashpw(password, bcrypt.gensalt(4))[4:]).decode()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has become true, for 10 s at most."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  a thread that takes a call sets no event
            await anyio.sleep(0.005)


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    """Make cheap hashes in one thread."""
    made = Passwords(workers=1, memory_cost=CHEAP)
    yield made
    await made.aclose()


@pytest.fixture
async def costly() -> AsyncIterator[Passwords]:
    """Make hashes as a server does."""
    made = Passwords(workers=1)
    yield made
    await made.aclose()


class Gate:
    """Be a call that runs until it is opened, and counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self._opened = threading.Event()

    def __call__(self) -> str:
        self.begun += 1
        assert self._opened.wait(10)
        return "done"

    def open(self) -> None:
        """Let everything through from now on."""
        self._opened.set()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """Open the gate at the end, whatever happened."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
async def full(gate: Gate) -> AsyncIterator[tuple[Workers, list[asyncio.Task[str]]]]:
    """Fill one thread and a queue of two with calls that stand at the gate."""
    workers = Workers(1, 2)
    calls = [asyncio.create_task(workers.run(gate)) for _ in range(3)]
    await until(lambda: gate.begun == 1 and workers.waiting == 2)
    yield workers, calls
    gate.open()
    await workers.aclose()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_new_hashes_are_argon2id_at_the_floor_of_owasp(costly: Passwords) -> None:
    """A hash has m=19456, t=2, p=1 and a salt of its own, and is not hashed again."""
    first, second = await costly.hash(TYPED), await costly.hash(TYPED)
    assert re.fullmatch(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]{22}\$[^$]{43}", first)
    assert first != second
    assert await costly.verify(TYPED, first) == Verdict(True, None)
    assert await costly.verify(TYPED + " ", first) == Verdict(False, None)


@pytest.mark.parametrize(
    ("password", "other"),
    [
        (" blanks ", "blanks"),
        ("Alice", "alice"),
        ("abc\0def", "abc"),
        ("e\N{COMBINING ACUTE ACCENT}" * 8, "é" * 8),
        ("x" * HARD_LIMIT, "x" * (HARD_LIMIT - 1)),
    ],
)
async def test_a_password_counts_exactly_as_it_came(passwords: Passwords, password: str, other: str) -> None:
    """Nothing is trimmed, folded or cut, and what is hashed is not normalized."""
    hashed = await passwords.hash(password)
    assert (await passwords.verify(password, hashed)).good
    assert not (await passwords.verify(other, hashed)).good


@pytest.mark.parametrize("prefix", [b"$2a$", b"$2b$", b"$2x$", b"$2y$"])
async def test_an_imported_user_gets_argon2id_at_the_first_login(passwords: Passwords, prefix: bytes) -> None:
    """A good password against bcrypt comes with a new hash, which is good for that password only."""
    hashed = imported(TYPED.encode(), prefix)
    assert await passwords.verify("mallory", hashed) == Verdict(False, None)
    verdict = await passwords.verify(TYPED, hashed)
    assert verdict.good
    assert verdict.rehash is not None
    assert verdict.rehash.startswith(f"$argon2id$v=19$m={CHEAP},t=2,p=1$")
    assert await passwords.verify(TYPED, verdict.rehash) == Verdict(True, None)
    assert not (await passwords.verify("mallory", verdict.rehash)).good


async def test_bcrypt_sees_72_bytes_and_what_follows_is_not_made_the_password(passwords: Passwords) -> None:
    """An imported user's long password goes on working, and stays bcrypt: nobody knows that its end is right."""
    long = "é" * 30 + "x" * 11 + "語" + "the end"
    hashed = imported(long.encode()[:BCRYPT_LIMIT])
    assert long.encode()[BCRYPT_LIMIT - 1 : BCRYPT_LIMIT + 2] == "語".encode()
    assert await passwords.verify(long, hashed) == Verdict(True, None)
    assert await passwords.verify("y" + long, hashed) == Verdict(False, None)
    exact = "x" * BCRYPT_LIMIT
    assert (await passwords.verify(exact, imported(exact.encode()))).rehash


async def test_bcrypt_does_not_end_at_a_nul(passwords: Passwords) -> None:
    """Mallory's `abc`, NUL and anything is not Alice's imported `abc`."""
    assert await passwords.verify("abc\0def", imported(b"abc")) == Verdict(False, None)


async def test_changed_parameters_rehash(passwords: Passwords) -> None:
    """A hash of other parameters is checked, and replaced when the password was good."""
    older = Passwords(workers=1, memory_cost=CHEAP, time_cost=1)
    hashed = await older.hash(TYPED)
    await older.aclose()
    assert await passwords.verify("mallory", hashed) == Verdict(False, None)
    verdict = await passwords.verify(TYPED, hashed)
    assert verdict.rehash is not None
    assert ",t=2," in verdict.rehash
    assert await passwords.verify(TYPED, verdict.rehash) == Verdict(True, None)


NOT_VERIFIABLE = [
    "",
    "plain",
    "$1$abc$def",
    "$pbkdf2-sha256$1000$c2FsdA$aGFzaA",
    "$2b$16$" + "a" * 53,
    "$2b$31$" + "a" * 53,
    "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43,
    "$argon2id$v=19$m=64,t=4000000000,p=1$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43,
]


@pytest.mark.parametrize(
    "hashed",
    [
        *NOT_VERIFIABLE,
        None,
        "$2b$04$" + "a" * 53,
        "$2b$03$" + "a" * 53,
        "$2b$٠٤$" + "a" * 53,
        "$argon2id$v=19$m=64,t=2,p=1$AAAA$AAAA",
        "$argon2id$v=19$m=64,t=2,p=1$é$é",
        "$argon2id$v=19$m=0,t=0,p=0$AAAAAAAAAAAAAAAAAAAAAA$" + "A" * 43,
        "\ud800",
    ],
)
@pytest.mark.parametrize("password", [TYPED, "", "x" * 73, "x" * (HARD_LIMIT + 1), "\ud800"])
async def test_nothing_is_good_and_nothing_breaks(passwords: Passwords, password: str, hashed: str | None) -> None:
    """No password opens an unknown user or a broken, foreign or ruinous hash, and none of it raises."""
    assert await passwords.verify(password, hashed) == Verdict(False, None)


@pytest.mark.parametrize("password", ["", "x" * (HARD_LIMIT + 1), "\ud800"])
async def test_what_nobody_can_have_is_not_hashed(passwords: Passwords, password: str) -> None:
    """An empty, huge or half-encoded password is rejected without being repeated, also against bcrypt of nothing."""
    with pytest.raises(Refused, match=r"^password_rejected: the password is empty, far too long, or has no UTF-8$"):
        await passwords.hash(password)
    assert not (await passwords.verify(password, imported(b""))).good


@pytest.mark.parametrize("hashed", NOT_VERIFIABLE)
def test_an_import_can_ask_what_is_verifiable(hashed: str) -> None:
    """Only Argon2 and bcrypt at a cost that one login may have can be imported."""
    assert not verifiable(hashed)


@pytest.mark.parametrize(
    "hashed",
    [
        imported(b"x"),
        imported(b"x", b"$2y$"),
        "$2b$15$" + "a" * 53,
        "$argon2i$v=19$m=65536,t=3,p=4$AAAAAAAAAAA$AAAAAAAA",
    ],
)
def test_usual_hashes_are_verifiable(hashed: str) -> None:
    """What other systems made can be imported."""
    assert verifiable(hashed)


async def test_every_no_costs_the_same_work(costly: Passwords) -> None:
    """Unknown users, wrong, empty and huge passwords take one and the same computation, counted in processor time."""
    hashed = await costly.hash(TYPED)
    cases = [("mallory", hashed), ("mallory", None), ("", hashed), ("x" * 10**6, hashed), ("x" * 10**6, None)]
    spent: list[list[float]] = [[] for _ in cases]
    for _ in range(9):
        for case, times in zip(cases, spent, strict=True):
            begun = time.process_time()
            assert not (await costly.verify(*case)).good
            times.append(time.process_time() - begun)
    medians = [statistics.median(each) for each in spent]
    assert max(medians) < 1.5 * min(medians), medians


async def test_no_answer_comes_before_an_imported_users_would(costly: Passwords) -> None:
    """Once an imported hash was checked, every no waits longer than that one took; a good password does not wait."""
    slow = bcrypt.hashpw(TYPED.encode(), bcrypt.gensalt(13))
    used = time.thread_time()
    assert bcrypt.checkpw(TYPED.encode(), slow)
    used = time.thread_time() - used
    assert not (await costly.verify("mallory", slow.decode())).good
    for hashed in (None, imported(TYPED.encode()), await costly.hash(TYPED)):
        begun = time.monotonic()
        assert not (await costly.verify("mallory", hashed)).good
        assert time.monotonic() - begun > used
    order: list[str] = []

    async def note(name: str, password: str, hashed: str) -> None:
        await costly.verify(password, hashed)
        order.append(name)

    current = await costly.hash(TYPED)
    await asyncio.gather(note("wrong", "mallory", current), note("good", TYPED, current))
    assert order == ["good", "wrong"]


async def test_the_loop_goes_on_through_a_flood(costly: Passwords) -> None:
    """While 50 passwords are checked, a task that wakes up every millisecond goes on between the answers."""
    hashed = await costly.hash(TYPED)
    order: list[str] = []

    async def check() -> None:
        assert (await costly.verify(TYPED, hashed)).good
        order.append("answer")

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.001)
            order.append("tick")

    ticking = asyncio.create_task(tick())
    await asyncio.gather(*(check() for _ in range(50)))
    ticking.cancel()
    assert order.count("answer") == 50
    assert order.count("tick") > 50
    assert max(len(list(run)) for name, run in itertools.groupby(order) if name == "answer") < 10


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority belongs to the process")
async def test_the_threads_give_way_to_the_loop() -> None:
    """A worker's priority is lower than that of the event loop, which keeps its own."""
    workers = Workers(1)
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    theirs = await workers.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    await workers.aclose()
    assert theirs == min(19, own + 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


async def test_there_are_few_threads() -> None:
    """By default one processor stays free, and there are never more than four threads."""
    assert 1 <= Workers().size <= 4
    assert Workers(3).size == 3
    assert Passwords(memory_cost=CHEAP, queue_limit=7).workers.queue_limit == 7


async def test_a_full_queue_refuses_at_once(full: tuple[Workers, list[asyncio.Task[str]]], gate: Gate) -> None:
    """The fourth caller is refused while the first is still at work, and told when to come again."""
    workers, calls = full
    with pytest.raises(Refused) as no:
        await workers.run(gate)
    assert (no.value.code, no.value.retry_after) == ("unavailable", 1)
    assert (workers.waiting, gate.begun) == (2, 1)
    gate.open()
    assert await asyncio.gather(*calls) == ["done"] * 3
    assert await workers.run(gate) == "done"
    assert workers.waiting == 0


async def test_hashing_waits_in_the_same_queue(gate: Gate) -> None:
    """A new password has no way around a full queue, and neither has a check."""
    passwords = Passwords(workers=1, queue_limit=0, memory_cost=CHEAP)
    call = asyncio.create_task(passwords.workers.run(gate))
    await until(lambda: gate.begun == 1)
    with pytest.raises(Refused, match="unavailable"):
        await passwords.hash(TYPED)
    with pytest.raises(Refused, match="unavailable"):
        await passwords.verify(TYPED, None)
    gate.open()
    assert await call == "done"
    assert await passwords.hash(TYPED)
    await passwords.aclose()


async def test_the_time_to_wait_is_measured(gate: Gate) -> None:
    """Where a call takes 3 s and two wait, the queue is empty after 6 s."""
    workers = Workers(1, 2, pace=3.0)
    calls = [asyncio.create_task(workers.run(gate)) for _ in range(3)]
    await until(lambda: workers.waiting == 2)
    with pytest.raises(Refused) as no:
        await workers.run(gate)
    assert no.value.retry_after == 6
    gate.open()
    await asyncio.gather(*calls)
    for _ in range(40):
        await workers.run(lambda: None)
    shut = Gate()
    calls = [asyncio.create_task(workers.run(shut)) for _ in range(3)]
    await until(lambda: workers.waiting == 2)
    with pytest.raises(Refused) as no:
        await workers.run(shut)
    assert no.value.retry_after == 1
    shut.open()
    await asyncio.gather(*calls)
    await workers.aclose()


async def test_who_goes_away_gives_the_place_back(full: tuple[Workers, list[asyncio.Task[str]]], gate: Gate) -> None:
    """A cancelled caller's place goes to the next one, and the call that had not begun never does."""
    workers, calls = full
    calls[1].cancel()
    await until(calls[1].done)
    assert calls[1].cancelled()
    assert workers.waiting == 1
    calls[1] = asyncio.create_task(workers.run(gate))
    await until(lambda: workers.waiting == 2)
    gate.open()
    assert await asyncio.gather(*calls) == ["done"] * 3
    assert gate.begun == 3


async def test_a_call_that_runs_keeps_its_thread_when_its_caller_goes(
    full: tuple[Workers, list[asyncio.Task[str]]], gate: Gate
) -> None:
    """Mallory, who hangs up while the thread is busy, makes no room that is not there."""
    workers, calls = full
    calls[0].cancel()
    await until(calls[0].done)
    with pytest.raises(Refused, match="unavailable"):
        await workers.run(gate)
    gate.open()
    assert await asyncio.gather(*calls[1:]) == ["done"] * 2


async def test_ending_does_not_wait_for_the_queue(full: tuple[Workers, list[asyncio.Task[str]]], gate: Gate) -> None:
    """What runs is answered, what waits is refused as draining, and no thread is left."""
    workers, calls = full
    ending = asyncio.create_task(workers.aclose())
    await asyncio.sleep(0)
    gate.open()
    await ending
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[0] == "done"
    assert [each.code for each in answers[1:] if isinstance(each, Refused)] == ["draining"] * 2
    assert gate.begun == 1
    assert not [each for each in threading.enumerate() if each.name.startswith("wsauth-passwords")]
    with pytest.raises(Refused, match="draining"):
        await workers.run(gate)
    await workers.aclose()


async def test_a_call_that_fails_fails_its_caller_only() -> None:
    """An error reaches who asked, and the thread goes on."""
    workers = Workers(1, 0)
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda: 1 / 0)
    assert await workers.run(lambda: "done") == "done"
    await workers.aclose()


async def test_a_verdict_does_not_show_the_new_hash(passwords: Passwords) -> None:
    """A verdict in a log has no hash."""
    verdict = await passwords.verify(TYPED, imported(TYPED.encode()))
    assert verdict.rehash
    assert repr(verdict) == "Verdict(good=True)"


async def test_pw_06_the_other_form_of_the_same_characters_is_tried_second(passwords: Passwords) -> None:
    """PW-06: hashed as NFC, a password that a keyboard sends as NFD or in full width is good; nothing else is."""
    hashed = await passwords.hash("caf\u00e9 horse battery A")
    for typed in ("caf\u00e9 horse battery A", "cafe\u0301 horse battery A", "caf\u00e9 horse battery \uff21"):
        assert (await passwords.verify(typed, hashed)).good
    assert not (await passwords.verify("cafe horse battery A", hashed)).good
    received = await passwords.hash("cafe\u0301 horse battery A")
    assert (await passwords.verify("cafe\u0301 horse battery A", received)).good
