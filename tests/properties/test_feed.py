"""Rows of the feed commute: whatever is duplicated or comes in another order, a process ends up knowing the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wsauth.core.feed import Row, pair_key
from wsauth.core.identity import OWN_ISSUER, Identity
from wsauth.services.connections.revocations import Revocations

NOW = 1_800_000_000.0
LOGIN = "https://login.example.com"
USERS = ("alice", "bob")
SESSIONS = ("s1", "s2", "s3")
TIMES = st.sampled_from([NOW - 60.0, NOW, NOW + 60.0])


class Told:
    """Be what the store has told, in its own order; a slow model answers from all of it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._epochs = dict.fromkeys(USERS, 0)

    def add(self, kind: Any, key: str, value: dict[str, Any]) -> None:
        """Write a row; one about a user without an epoch ends all logins."""
        seq = len(self.rows) + 1
        if kind == "all":
            self._epochs = dict.fromkeys(USERS, seq)
        elif kind == "user" and not value.pop("rights_only"):
            self._epochs[key] = seq
        elif kind == "user":
            value = {**value, "epoch": self._epochs[key]}
            value.pop("carried", None)
        self.rows.append(Row(kind=kind, key=key, value=value, keep_until=NOW + 3600, seq=seq, at=NOW))

    def is_dead(self, identity: Identity, issued_at: float | None) -> bool:
        """Tell whether something that was told ended the identity's credential."""
        return any(self._ends(row, identity, issued_at) for row in self.rows)

    def _ends(self, row: Row, identity: Identity, issued_at: float | None) -> bool:
        epoch = identity.claims.get("epoch")
        before = issued_at is None or issued_at <= row.value.get("until", 0)
        if row.kind == "session":
            return identity.session_id == row.key
        if row.kind == "token":
            return identity.token_id is not None and row.key == pair_key(identity.issuer, identity.token_id)
        if row.kind == "subject":
            return epoch is None and row.key == pair_key(*identity.key) and before
        if row.kind == "all":
            return before if epoch is None else epoch < row.seq
        if epoch is None or row.key != identity.subject or "epoch" in row.value:
            return False
        # Only what the newest end spared goes on: what an earlier one spared, the newest has ended.
        newest = max(r.seq for r in self.rows if r.kind == "user" and r.key == row.key and "epoch" not in r.value)
        spared = "carried" in row.value and row.value["carried"] == identity.session_id
        return row.seq == newest and epoch < row.seq and not spared

    def rights(self, username: str) -> tuple[str, ...] | None:
        """Return the roles that were told last."""
        about = [row for row in self.rows if row.kind == "user" and row.key == username]
        return tuple(about[-1].value["roles"]) if about else None


changes: st.SearchStrategy[tuple[str, str, dict[str, Any]]] = st.one_of(
    st.tuples(st.just("session"), st.sampled_from(SESSIONS), st.just({})),
    st.tuples(st.just("token"), st.builds(pair_key, st.sampled_from([LOGIN, OWN_ISSUER]), st.just("t")), st.just({})),
    st.tuples(
        st.just("subject"),
        st.builds(pair_key, st.sampled_from([LOGIN, OWN_ISSUER]), st.sampled_from(USERS)),
        st.fixed_dictionaries({"until": TIMES}),
    ),
    st.tuples(st.just("all"), st.just(""), st.fixed_dictionaries({"until": TIMES})),
    st.tuples(
        st.just("user"),
        st.sampled_from(USERS),
        st.fixed_dictionaries(
            {
                "rights_only": st.booleans(),
                "roles": st.sampled_from([(), ("member",), ("owner",)]),
                "grants": st.sampled_from([(), ("wsauth:revoke",)]),
            },
            optional={"carried": st.sampled_from(SESSIONS)},
        ),
    ),
)


@st.composite
def feeds(draw: st.DrawFn) -> Told:
    """Draw a feed as a store writes one."""
    told = Told()
    for kind, key, value in draw(st.lists(changes, max_size=12)):
        told.add(kind, key, dict(value))
    return told


@st.composite
def credentials(draw: st.DrawFn) -> Identity:
    """Draw whose a credential is: one of ours with or without a session and an epoch, or somebody else's."""
    issuer = draw(st.sampled_from([OWN_ISSUER, OWN_ISSUER, LOGIN]))
    claims: dict[str, Any] = {"iat": draw(TIMES)} if draw(st.booleans()) else {}
    if issuer == OWN_ISSUER and draw(st.booleans()):
        claims["epoch"] = draw(st.integers(0, 12))
    return Identity(
        draw(st.sampled_from(USERS)),
        issuer=issuer,
        roles=["guest"],
        session_id=draw(st.sampled_from([None, *SESSIONS])),
        token_id=draw(st.sampled_from([None, "t", "u"])),
        claims=claims,
    )


def taken_in(rows: list[Row]) -> Revocations:
    """Return what a process knows after these rows, in this order."""
    revocations = Revocations()
    for row in rows:
        revocations.apply(row, NOW)
    return revocations


@given(feeds(), st.lists(credentials(), min_size=1, max_size=8), st.data())
def test_any_order_with_any_repeats_comes_to_the_same(told: Told, asked: list[Identity], data: st.DataObject) -> None:
    """Rows in any order, some of them again, say of every credential what the model says of it."""
    again = data.draw(st.lists(st.sampled_from(told.rows), max_size=6)) if told.rows else []
    revocations = taken_in(data.draw(st.permutations(told.rows + again)))
    for identity in asked:
        issued_at = identity.claims.get("iat")
        assert (revocations.check(identity, issued_at) is not None) == told.is_dead(identity, issued_at)


@given(feeds(), st.lists(credentials(), min_size=1, max_size=4), st.data())
def test_rights_are_those_that_were_told_last(told: Told, asked: list[Identity], data: st.DataObject) -> None:
    """In whatever order rows about users come, everybody has the rights of the last one that was written."""
    revocations = taken_in(data.draw(st.permutations(told.rows)))
    for identity in asked:
        rights = told.rights(identity.subject) if "epoch" in identity.claims else None
        assert revocations.overlay(identity).roles == (("guest",) if rights is None else rights)


@given(feeds(), credentials(), st.data())
def test_what_is_dead_stays_dead(told: Told, identity: Identity, data: st.DataObject) -> None:
    """No row that comes later brings a credential back, except that the end which counts is the newest."""
    rows = data.draw(st.permutations([row for row in told.rows if "carried" not in row.value]))
    revocations, dead = Revocations(), False
    for row in rows:
        revocations.apply(row, NOW)
        found = revocations.check(identity, identity.claims.get("iat")) is not None
        assert found or not dead
        dead = found
