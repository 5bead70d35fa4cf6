"""Alerts reach a real receiver, however it behaves, and nobody waits for them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.receiver import SECRET, free_port, receiving
from wsauth.alerts import Webhook, Webhooks, webhooks
from wsauth.alerts.webhooks import backoff
from wsauth.core import events
from wsauth.services.clock import SystemClock
from wsauth.services.events import Bus


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(webhooks, "_FIRST", 0.02)
    monkeypatch.setattr(webhooks, "_LAST", 0.1)


@asynccontextmanager
async def sending(*urls: str, wanted: tuple[str, ...] = ()) -> AsyncGenerator[tuple[Webhooks, list[str]]]:
    """Send to these, and list what became of each alert."""
    bus, outcomes = Bus(), list[str]()
    bus.subscribe(events.Alerted, lambda event: outcomes.append(event.outcome))
    alerts = Webhooks([Webhook(url, SECRET, wanted) for url in urls], clock=SystemClock(), bus=bus)
    alerts.start()
    try:
        yield alerts, outcomes
    finally:
        await alerts.aclose()


def notice(number: int = 0, what: str = "second_network") -> events.Noticed:
    """Notice something."""
    return events.Noticed(at=time.time(), what=what, reason=f"number {number}", address="203.0.113.7", subject="alice")


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  the receiver is in another thread
            await asyncio.sleep(0.01)


async def test_an_alert_arrives_signed() -> None:
    """With its type, its time and what is known; what is not known is not there."""
    with receiving() as receiver:
        async with sending(receiver.url) as (alerts, outcomes):
            alerts.tell(notice(), ("alert",))
            await until(lambda: outcomes == ["delivered"])
    (taken,) = receiver.taken
    assert taken["type"] == "second_network"
    assert taken["timestamp"].endswith("Z")
    assert taken["data"] == {
        "reason": "number 0",
        "address": "203.0.113.7",
        "subject": "alice",
        "actions": ["alert"],
    }


async def test_a_receiver_that_answers_500_gets_it_again() -> None:
    """Each with the same id until it is taken, and no other waits for the one that fails."""
    with receiving() as receiver:
        receiver.answers = [500, 503, 302, 404]
        async with sending(receiver.url) as (alerts, outcomes):
            for number in range(5):
                alerts.tell(notice(number), ())
            await until(lambda: outcomes == ["delivered"] * 5)
    assert sorted(each["data"]["reason"] for each in receiver.taken) == [f"number {number}" for number in range(5)]
    assert len(receiver.tried) == 9
    assert len(set(receiver.tried)) == 5


async def test_a_receiver_that_is_down_loses_nothing() -> None:
    """What was told while nobody listened arrives when somebody does."""
    port = free_port()
    async with sending(f"http://127.0.0.1:{port}/") as (alerts, outcomes):
        for number in range(20):
            alerts.tell(notice(number), ())
        await asyncio.sleep(0.1)
        assert outcomes == []
        with receiving(port) as receiver:
            await until(lambda: outcomes == ["delivered"] * 20)
    assert {each["data"]["reason"] for each in receiver.taken} == {f"number {number}" for number in range(20)}


async def test_a_slow_receiver_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telling takes no time, another webhook gets its alerts meanwhile, and what took too long is sent again."""
    monkeypatch.setattr(webhooks, "_TIME_LIMIT", 0.3)
    with receiving() as slow, receiving() as quick:
        slow.stall = 0.8
        async with sending(slow.url, quick.url) as (alerts, outcomes):
            for number in range(3):
                alerts.tell(notice(number), ())
            await until(lambda: len(quick.taken) == 3)
            assert slow.taken == []
            await until(lambda: len(slow.tried) == 2)
            slow.stall = 0.0
            await until(lambda: outcomes == ["delivered"] * 6)
    assert {each["data"]["reason"] for each in slow.taken} == {f"number {number}" for number in range(3)}


async def test_what_does_not_fit_is_counted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The queue is bounded; the log says once that alerts are left out, and how many when they are taken again."""
    monkeypatch.setattr(webhooks, "_WAITING", 3)
    port = free_port()
    async with sending(f"http://127.0.0.1:{port}/") as (alerts, outcomes):
        for number in range(10):
            alerts.tell(notice(number), ())
        assert outcomes == ["lost"] * 7
        with receiving(port) as receiver:
            await until(lambda: outcomes[7:] == ["delivered"] * 3)
    assert len(receiver.taken) == 3
    assert caplog.text.count("are left out") == 1
    assert "takes alerts again; 7 were left out" in caplog.text


async def test_what_is_too_old_is_given_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """An alert of yesterday is not tried for ever; the log has its id."""
    monkeypatch.setattr(webhooks, "_TRIED_FOR", 0.2)
    with receiving() as receiver:
        receiver.answers = [500] * 1000
        async with sending(receiver.url) as (alerts, outcomes):
            alerts.tell(notice(), ())
            await until(lambda: outcomes == ["lost"])
    assert f"alert {receiver.tried[0]} is given up: it answered 500" in caplog.text


async def test_the_end_waits_for_what_can_be_delivered(caplog: pytest.LogCaptureFixture) -> None:
    """What waits is tried once more; what nobody takes is counted in the log, and the end comes soon."""
    with receiving() as receiver:
        async with sending(receiver.url, f"http://127.0.0.1:{free_port()}/") as (alerts, _):
            for number in range(4):
                alerts.tell(notice(number), ())
    assert len(receiver.taken) == 4
    assert "4 alerts for 127.0.0.1:" in caplog.text


async def test_only_what_is_wanted_is_sent() -> None:
    """`events` of a webhook choose."""
    with receiving() as receiver:
        async with sending(receiver.url, wanted=("token_reuse",)) as (alerts, outcomes):
            alerts.tell(notice(1), ())
            alerts.tell(notice(2, "token_reuse"), ())
            await until(lambda: outcomes == ["delivered"])
    assert [each["type"] for each in receiver.taken] == ["token_reuse"]


@pytest.mark.parametrize(("failures", "longest"), [(1, 0.04), (2, 0.08), (3, 0.1), (1000, 0.1)])
def test_attempts_come_less_and_less_often(failures: int, longest: float) -> None:
    """Twice as long each time, up to a bound, spread over the second half."""
    assert backoff(failures, lambda: 0.0) == pytest.approx(longest / 2)
    assert backoff(failures, lambda: 1.0) == pytest.approx(longest)
