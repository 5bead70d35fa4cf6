"""What follows from rows of the feed: what is read anew, and how long a close has taken."""

from tests.races.world import Process, eventually
from wsauth.core import events
from wsauth.core.feed import KEPT, Row
from wsauth.errors import Refused
from wsauth.interfaces.feed import Seen
from wsauth.testing import FakeClock


async def test_what_could_not_be_read_anew_is_tried_again(here: Process, there: Process) -> None:
    """A store that is away for a moment leaves nobody with yesterday's blocks; another change has its own turn."""
    tried: list[str] = []
    load = there.local.blocking.load

    async def away_at_first() -> None:
        tried.append("blocks")
        if len(tried) == 1:
            raise Refused("unavailable", "the store is away")
        await load()

    there.guard.follower.reread("blocks", away_at_first)
    await here.local.blocking.add("203.0.113.9")
    await eventually(lambda: there.guard.throttling.kept_out("203.0.113.9") is not None)
    assert tried == ["blocks", "blocks"]


async def test_each_close_is_measured_from_its_own_row(here: Process, clock: FakeClock) -> None:
    """Of two revocations in one read the older took longer, however new the other is."""
    measured: list[float] = []
    here.guard.bus.subscribe(events.Enforced, lambda event: measured.append(event.seconds))
    known = [await here.login(), await here.login("bob")]
    faces = [await here.connected(here.bearer(here.access(one))) for one in known]
    now, heard = clock.now(), here.guard.follower._heard
    rows = [
        Row(kind="session", key=one.session.id, keep_until=now + KEPT, seq=heard + number, at=now - age)
        for number, (one, age) in enumerate(zip(known, (20.0, 1.0), strict=True), 1)
    ]
    here.guard.follower.apply(Seen(rows=rows, read_at=now))
    await eventually(lambda: len(measured) == 2)
    assert [face.code for face in faces] == ["session_revoked"] * 2
    assert sorted(round(seconds) for seconds in measured) == [1, 20]
