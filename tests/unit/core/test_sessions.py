"""Sessions: how long they live, and the form of their proofs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.sessions import (
    COOKIE_PREFIX,
    REFRESH_PREFIX,
    Limits,
    Session,
    SessionKind,
    read_proof,
    write_proof,
)

LIMITS = Limits(access=300.0, idle=1000.0, absolute=5000.0, grace=20.0)
SESSION_ID = "q" * 32
TAG = bytes(range(32))


def session(kind: SessionKind = "tokens", *, created_at: float = 0.0, refreshed_at: float = 0.0) -> Session:
    """Return a session of Alice's."""
    return Session(
        id=SESSION_ID,
        subject="alice",
        kind=kind,
        generation=0,
        generation_at=refreshed_at,
        epoch=1,
        created_at=created_at,
        refreshed_at=refreshed_at,
    )


@pytest.mark.parametrize(
    ("kind", "refreshed_at", "ends_at"),
    [
        ("tokens", 0.0, 1000.0),
        ("cookie", 400.0, 1400.0),
        ("tokens", 4900.0, 5000.0),
        ("connection", 100.0, 700.0),
    ],
)
def test_a_session_ends_when_it_is_idle_or_old(kind: SessionKind, refreshed_at: float, ends_at: float) -> None:
    """The idle limit counts from the last use, the absolute one from the login; a connection's is short."""
    assert LIMITS.ends_at(session(kind, refreshed_at=refreshed_at)) == ends_at


@given(
    st.sampled_from([REFRESH_PREFIX, COOKIE_PREFIX]),
    st.from_regex(r"[A-Za-z0-9_-]{22,64}", fullmatch=True),
    st.integers(0, 10**12 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_a_proof_can_be_taken_apart_again(prefix: str, session_id: str, generation: int, tag: bytes) -> None:
    """What was written is read with the same session, generation and MAC."""
    proof = read_proof(write_proof(prefix, session_id, generation, tag), prefix)
    assert proof is not None
    assert (proof.session_id, proof.generation, proof.tag) == (session_id, generation, tag)


GOOD = write_proof(REFRESH_PREFIX, SESSION_ID, 7, TAG)


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[:-1],
        GOOD + "A",
        GOOD + "\n",
        GOOD.replace(".7.", ".07."),
        GOOD.replace(".7.", ".-7."),
        GOOD.replace(".7.", ".\u0667."),
        GOOD.replace(SESSION_ID, "short"),
        GOOD.replace(SESSION_ID, "q" * 65),
        GOOD.replace("wsr", "wsc"),
        GOOD[:-1] + ("B" if GOOD[-1] != "B" else "C"),
        "eyJhbGciOiJub25lIn0.e30.",
    ],
)
def test_what_is_no_proof_is_none(text: str) -> None:
    """Another form, a second spelling of the same number or MAC, or another prefix is no proof."""
    assert read_proof(text, REFRESH_PREFIX) is None


def test_a_proof_shows_no_mac() -> None:
    """What is logged of a proof does not prove anything."""
    proof = read_proof(GOOD, REFRESH_PREFIX)
    assert proof is not None
    assert GOOD.rpartition(".")[2] not in repr(proof)
    assert TAG.hex() not in repr(proof)
