"""The audit log's chain finds everything that is done to it, and every event has its place in the log (LG-10)."""

import msgspec
import pytest

from wsauth.core import events
from wsauth.core.audit import TABLE, Chain, Head, Row, check, entry_of, name_of, segment_of
from wsauth.core.events import About
from wsauth.core.identity import Identity
from wsauth.services.keyfile import KeyFile

SIGN = KeyFile.in_memory().mac("audit").sign


def _chain(count: int = 5) -> tuple[list[Row], Head]:
    chain = Chain("one-d", SIGN)
    name = "sess_created"
    rows = [
        chain.link(float(at), name, msgspec.json.encode({"at": float(at), "event": name, "number": at}))
        for at in range(count)
    ]
    return rows, chain.head()


def _changed(row: Row) -> Row:
    return msgspec.structs.replace(row, entry=msgspec.Raw(bytes(row.entry).replace(b"sess_created", b"sess_xreated")))


def test_a_whole_chain_is_good() -> None:
    """Nothing is said of what nobody touched."""
    rows, head = _chain()
    assert check(rows, {"store": [head]}, SIGN) == []


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda rows: [rows[0], _changed(rows[1]), *rows[2:]], "chain one-d, entry 2: it was changed"),
        (lambda rows: [*rows[:2], *rows[3:]], "chain one-d, entry 4: before it 3 is missing"),
        (lambda rows: rows[2:], "chain one-d, entry 3: before it 1 to 2 is missing"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "chain one-d, entry 3: before it 2 is missing"),
        (
            lambda rows: [
                rows[0],
                msgspec.structs.replace(rows[2], number=2),
                msgspec.structs.replace(rows[1], number=3),
                *rows[3:],
            ],
            "chain one-d, entry 2: it was changed, moved or put in",
        ),
        (lambda rows: rows[:3], "chain one-d, after entry 3: the end is cut off; the chain goes to 5"),
        (lambda rows: [], "chain one-d, after entry 0: the end is cut off; the chain goes to 5"),
        (
            lambda rows: [msgspec.structs.replace(rows[0], at=99.0), *rows[1:]],
            "chain one-d, entry 1: its time or name beside the entry was changed",
        ),
    ],
)
def test_damage_is_found_with_its_place(damage: object, place: str) -> None:
    """Edited, deleted, swapped, renumbered, cut off."""
    rows, head = _chain()
    found = check(damage(rows), {"store": [head]}, SIGN)  # type: ignore[operator]
    assert found
    assert found[0].startswith(place)


def test_another_key_makes_nothing_good() -> None:
    """Whoever writes a chain anew without the key file is found."""
    rows, head = _chain()
    other = KeyFile.in_memory().mac("audit").sign
    assert len(check(rows, {"store": [head]}, other)) == 6


def test_a_forged_head_is_found() -> None:
    """A head is taken only with its signature."""
    rows, head = _chain()
    forged = msgspec.structs.replace(head, number=3, tag=rows[2].tag)
    assert "was not signed" in check(rows[:3], {"store": [forged]}, SIGN)[0]


def test_retention_keeps_the_chain_good() -> None:
    """The mark of what was removed keeps its tag; one that others made is found."""
    rows, head = _chain()
    mark = segment_of(rows[2], SIGN)
    assert check([mark, *rows[3:]], {"store": [head], "log": [Chain("one-d", SIGN, 2, rows[1].tag).head()]}, SIGN) == []
    forged = segment_of(rows[2], KeyFile.in_memory().mac("audit").sign)
    assert "was not made by wsauth" in check([forged, *rows[3:]], {}, SIGN)[0]


def _kinds(kind: type[events.Event]) -> set[type[events.Event]]:
    below = kind.__subclasses__()
    return {kind}.union(*map(_kinds, below)) if below else {kind}


def test_every_event_is_in_the_table() -> None:
    """What is new in core/events.py is audited, or a measurement, or somebody has thought about it."""
    bases = {
        events.Event, events.ConnectionEvent, events.RefusalEvent, events.EndingEvent, events.ChangeEvent,
    }  # fmt: skip
    measured = _kinds(events.Measurement)
    ours = {kind for kind in _kinds(events.Event) if kind.__module__ == events.__name__}
    assert ours - bases - measured == set(TABLE)


def test_an_entry_says_who_where_and_why() -> None:
    """What an entry has is flat, and empty things are left out."""
    refused = events.HandshakeRefused(
        at=1.0,
        about=About("ab" * 16, "/ws", "192.0.2.1", True),
        identity=Identity("ann", issuer="local", session_id="s1"),
        code="permission_denied",
        id="abcdefghijkl",
        reason="chat:read is missing",
        mend="",
        source="bearer",
    )
    assert name_of(refused) == "authz_fail"
    assert entry_of(refused, "node", 3) == {
        "at": 1.0,
        "event": "authz_fail",
        "kind": "HandshakeRefused",
        "node": "node",
        "connection_id": "ab" * 16,
        "address": "192.0.2.1",
        "path": "/ws",
        "subject": "ann",
        "issuer": "local",
        "session_id": "s1",
        "code": "permission_denied",
        "id": "abcdefghijkl",
        "reason": "chat:read is missing",
        "source": "bearer",
        "count": 3,
    }
