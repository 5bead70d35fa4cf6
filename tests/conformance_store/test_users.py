"""Users, and the rows that tell what happened to them."""

import msgspec
import pytest

from tests.conformance_store.cast import LIMITS, NOW, alice, login
from tests.conformance_store.reading import rows_of
from wsauth.core.feed import NewRow, Row, UserState
from wsauth.core.sessions import SessionKind
from wsauth.core.users import User
from wsauth.errors import Refused
from wsauth.interfaces.store import Store

KEY = b"\x01" * 32
OTHER_KEY = b"\x02" * 32


async def last_row(store: Store) -> Row:
    return (await rows_of(store))[-1]


async def test_a_user_is_found_as_added(store: Store) -> None:
    """What was added is what is found, with an epoch."""
    user = User(
        username="Zoë",
        roles=("a", "b"),
        grants=("wsauth:admin",),
        service=True,
        disabled=True,
        created_at=NOW,
        password_hash="$argon2id$x",
        password_until=NOW + 5.5,
    )
    added = await store.users.add(user)
    assert added.epoch > 0
    assert added == msgspec.structs.replace(user, epoch=added.epoch)
    assert await store.users.find("Zoë") == added


async def test_a_first_epoch_is_the_number_of_its_row(store: Store, owner: User) -> None:
    """Adding a user writes a row without an epoch, whose number is theirs."""
    row = await last_row(store)
    assert (row.kind, row.key, row.seq, row.value) == ("user", "Alice", owner.epoch, {"roles": ["owner"], "grants": []})


@pytest.mark.parametrize("written", ["alice", "ALICE", "\uff21lice"])
async def test_names_are_found_however_they_are_written(store: Store, owner: User, written: str) -> None:
    """Names are compared folded."""
    assert await store.users.find(written) == owner


@pytest.mark.parametrize("written", ["alice", "Alice", "\uff21lice"])
async def test_a_name_is_given_once(store: Store, owner: User, written: str) -> None:
    """Mallory cannot come as another Alice, and her attempt writes no row."""
    before = await rows_of(store)
    with pytest.raises(Refused) as refused:
        await store.users.add(User(username=written))
    assert refused.value.code == "conflict"
    assert await rows_of(store) == before
    assert await store.users.count() == 1


async def test_nobody_is_found_who_is_not_there(store: Store, owner: User) -> None:
    """Changes of an unknown user change nothing and say so."""
    before = await rows_of(store)
    assert await store.users.find("mallory") is None
    assert await store.users.set_rights("mallory", ["owner"], []) is None
    assert await store.users.set_password("mallory", "x") is None
    assert await store.users.set_key("mallory", KEY) is None
    assert await store.users.set_disabled("mallory", True) is None
    assert await store.users.set_disabled("mallory", False) is None
    assert await store.users.end_logins("mallory") is None
    assert not await store.users.remove("mallory")
    assert await rows_of(store) == before


async def test_a_service_is_found_by_its_key_only(store: Store, owner: User) -> None:
    """An API key finds its service until there is another one."""
    service = await store.users.add(User(username="billing", service=True), KEY)
    assert await store.users.find_by_key(KEY) == service
    assert await store.users.find_by_key(OTHER_KEY) is None
    changed = await store.users.set_key("billing", OTHER_KEY)
    assert await store.users.find_by_key(KEY) is None
    assert await store.users.find_by_key(OTHER_KEY) == changed
    assert changed is not None
    assert changed.epoch > service.epoch


async def test_pages_go_through_all(store: Store) -> None:
    """Pages of two show everybody once, in the order of folded names."""
    for name in ("dave", "Alice", "carol", "Bob", "erin"):
        await store.users.add(User(username=name))
    found: list[str] = []
    while page := await store.users.page(found[-1] if found else "", 2):
        assert len(page) <= 2
        found += [user.username for user in page]
    assert found == ["Alice", "Bob", "carol", "dave", "erin"]
    assert await store.users.count() == 5


async def test_rights_change_without_ending_logins(store: Store, owner: User) -> None:
    """New rights leave the epoch and the sessions, and the row says both."""
    session = login(owner)
    assert await store.sessions.open(session)
    changed = await store.users.set_rights("alice", ["member"], ["wsauth:users"])
    assert changed is not None
    assert (changed.roles, changed.grants, changed.epoch) == (("member",), ("wsauth:users",), owner.epoch)
    known = await store.sessions.find(session.id, LIMITS, NOW)
    assert known is not None
    assert known.user == changed
    row = await last_row(store)
    assert UserState.of(row) == UserState(
        version=row.seq, epoch=owner.epoch, roles=("member",), grants=("wsauth:users",)
    )


@pytest.mark.parametrize("what", ["password", "key", "disable", "end"])
async def test_what_ends_logins_ends_them(store: Store, owner: User, member: User, what: str) -> None:
    """Alice's sessions are gone, her epoch is the row's number, the row has its order, and Bob notices nothing."""
    sessions = [login(owner), login(owner, kind="cookie")]
    others = login(member)
    for session in (*sessions, others):
        assert await store.sessions.open(session)
    changed = await {
        "password": lambda: store.users.set_password("alice", "$argon2id$new", until=NOW + 9, order="o-1"),
        "key": lambda: store.users.set_key("alice", KEY, order="o-1"),
        "disable": lambda: store.users.set_disabled("alice", True, order="o-1"),
        "end": lambda: store.users.end_logins("alice", order="o-1"),
    }[what]()
    row = await last_row(store)
    assert changed is not None
    assert (row.kind, row.key, row.order, "epoch" in row.value) == ("user", "Alice", "o-1", False)
    assert UserState.of(row) == UserState(version=row.seq, epoch=changed.epoch, roles=("owner",))
    assert changed.epoch == row.seq > owner.epoch
    assert changed == await store.users.find("alice")
    for session in sessions:
        assert not await store.sessions.end(session.id)
    assert await store.sessions.find(others.id, LIMITS, NOW) is not None
    assert not await store.sessions.open(login(owner))


async def test_a_row_beside_the_end_of_logins_is_never_read_without_it(store: Store, owner: User) -> None:
    """It is written just before in one transaction, so that an order's answer counts what either of them closed."""
    more = NewRow(kind="subject", key="k", value={"until": NOW}, keep_until=NOW + 9)
    assert await store.users.end_logins("nobody", order="o-1", before=more) is None
    assert [row.kind for row in await rows_of(store)][-1] == "user"
    assert await store.users.end_logins("alice", order="o-2", before=more) is not None
    before, row = (await rows_of(store))[-2:]
    assert (before.kind, row.kind, row.order) == ("subject", "user", "o-2")
    assert before.seq == row.seq - 1


async def test_a_password_is_changed(store: Store, owner: User) -> None:
    """The new hash and its end are kept."""
    changed = await store.users.set_password("alice", "$argon2id$new", until=NOW + 9)
    assert changed is not None
    assert (changed.password_hash, changed.password_until) == ("$argon2id$new", NOW + 9)
    assert changed == await store.users.find("alice")


@pytest.mark.parametrize(("kind", "generation"), [("cookie", 4), ("tokens", 3)])
async def test_the_session_that_changed_a_password_goes_on(
    store: Store, owner: User, kind: SessionKind, generation: int
) -> None:
    """It is carried into the new epoch; a cookie gets a new proof, a refresh token, which no answer brings, stays."""
    carried, ended = login(owner, kind=kind, generation=3), login(owner)
    assert await store.sessions.open(carried)
    assert await store.sessions.open(ended)
    changed = await store.users.set_password("alice", "new", seen_epoch=owner.epoch, carry=carried.id)
    assert changed is not None
    known = await store.sessions.find(carried.id, LIMITS, NOW)
    assert known is not None
    assert (known.session.epoch, known.session.generation) == (changed.epoch, generation)
    assert await store.sessions.find(ended.id, LIMITS, NOW) is None
    assert UserState.of(await last_row(store)).carried == carried.id


async def test_a_password_is_not_changed_by_who_saw_an_old_epoch(store: Store, owner: User) -> None:
    """Mallory knows the old password; the change she began before it was changed comes too late."""
    now = await store.users.set_password("alice", "new")
    assert await store.users.set_password("alice", "mallory's", seen_epoch=owner.epoch) is None
    assert await store.users.find("alice") == now


@pytest.mark.parametrize("whose", ["nobody", "bob", "ended"])
async def test_only_a_live_session_of_theirs_is_carried(store: Store, owner: User, member: User, whose: str) -> None:
    """With a session that is not Alice's own live one nothing changes."""
    bobs = login(member)
    ended = login(owner)
    assert await store.sessions.open(bobs)
    assert await store.sessions.open(ended)
    assert await store.sessions.end(ended.id)
    carry = {"nobody": "x" * 32, "bob": bobs.id, "ended": ended.id}[whose]
    assert await store.users.set_password("alice", "new", carry=carry) is None
    assert await store.users.find("alice") == owner


async def test_a_used_password_no_longer_ends(store: Store) -> None:
    """The first login hashes anew and takes the end away; one with a password that was changed does nothing."""
    await store.users.add(msgspec.structs.replace(alice(), password_hash="old", password_until=NOW + 60))
    await store.users.use_password("ALICE", "other", "mallory's")
    await store.users.use_password("ALICE", "old", "newer")
    user = await store.users.find("alice")
    assert user is not None
    assert (user.password_hash, user.password_until) == ("newer", None)


async def test_a_disabled_user_is_enabled_again(store: Store, owner: User) -> None:
    """Enabling brings no session back, and lets new ones come."""
    session = login(owner)
    assert await store.sessions.open(session)
    disabled = await store.users.set_disabled("alice", True)
    assert disabled is not None
    assert disabled.disabled
    assert not await store.sessions.open(login(disabled))
    enabled = await store.users.set_disabled("alice", False)
    assert enabled is not None
    assert not enabled.disabled
    assert await store.sessions.find(session.id, LIMITS, NOW) is None
    assert await store.sessions.open(login(enabled))


async def test_a_removed_user_never_comes_back_by_name(store: Store, owner: User) -> None:
    """Somebody new of that name has a later epoch, so that nothing of the old Alice is theirs."""
    session = login(owner)
    assert await store.sessions.open(session)
    assert await store.users.remove("ALICE", order="o-2")
    row = await last_row(store)
    assert (row.kind, row.key, row.order, row.value) == ("user", "Alice", "o-2", {"roles": [], "grants": []})
    assert await store.users.find("alice") is None
    assert await store.sessions.find(session.id, LIMITS, NOW) is None
    again = await store.users.add(alice())
    assert again.epoch > row.seq > owner.epoch
    assert not await store.sessions.open(login(owner))
