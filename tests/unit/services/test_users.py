"""Our own users over a real store: added, changed, imported and removed."""

import asyncio
from typing import Any

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.services.ground import CHANGED, PASSWORD, Ground, row
from wsauth.core.users import fold
from wsauth.errors import ConfigurationError, Refused
from wsauth.services.users import API_KEY_PREFIX, GRANTS, PasswordRejected

SAME_NAMES = ["alice", "ALICE", "aLiCe", "\uff21lice", "Ａｌｉｃｅ"]  # noqa: RUF001  full width letters, on purpose


@pytest.mark.parametrize("name", SAME_NAMES)
async def test_one_name_is_one_user_however_it_is_written(it: Ground, name: str) -> None:
    """Found, logged in, changed and removed by any form of the name; a second of that name cannot be added."""
    await it.alice()
    assert (await it.users.get(name)).username == "Alice"
    assert (await it.sessions.login(name, PASSWORD, "tokens")).session.subject == "Alice"
    with pytest.raises(Refused, match="conflict"):
        await it.users.add(name, PASSWORD)
    await it.users.remove(name)
    assert await it.users.find("Alice") is None


async def test_names_that_differ_are_different_users(it: Ground) -> None:
    """A Cyrillic look-alike, a name with a blank inside and a longer one are not Alice."""
    await it.alice()
    for name in ("Аlice", "al ice", "alice2", "alicé"):  # noqa: RUF001  a Cyrillic letter, on purpose
        assert await it.users.find(name) is None
        await it.users.add(name, PASSWORD)


@given(st.text(max_size=20))
def test_folding_twice_is_folding_once(name: str) -> None:
    """The form in which names are compared is its own form."""
    assert fold(fold(name)) == fold(name)


@pytest.mark.parametrize("name", ["", " alice", "alice ", "al\nice", "al\x00ice", "al\u200bice", "x" * 65, "e\u0301"])
async def test_names_that_cannot_be_typed_are_refused(it: Ground, name: str) -> None:
    """Empty, blank at an end, unprintable, too long, or written in another form than it would be compared in."""
    with pytest.raises(ConfigurationError):
        await it.users.add(name, PASSWORD)
    assert not await it.users.any()


@pytest.mark.parametrize("grant", ["wsauth:root", "wsauth:*", "wsauth:admin ", "chat:read", "", "WSAUTH:ADMIN", "**"])
async def test_only_the_grants_there_are_are_given(it: Ground, grant: str) -> None:
    """Neither when a user is added nor later, and not beside a good one."""
    await it.alice()
    with pytest.raises(ConfigurationError):
        await it.users.add("bob", PASSWORD, grants=["wsauth:admin", grant])
    with pytest.raises(ConfigurationError):
        await it.users.set_rights("alice", grants=[grant])
    with pytest.raises(ConfigurationError):
        await it.users.add_service("robot", grants=[grant])
    assert (await it.users.get("alice")).grants == ()
    assert await it.users.page() == [await it.users.get("alice")]
    assert (await it.users.set_rights("alice", grants=GRANTS)).grants == GRANTS


@pytest.mark.parametrize("role", ["wsauth:admin", "a,b", "*", "chat:*", "", "a\nb"])
async def test_roles_are_plain_names(it: Ground, role: str) -> None:
    """No pattern, no list in one name, and nothing that begins like a grant."""
    with pytest.raises(ConfigurationError):
        await it.users.add("bob", PASSWORD, roles=[role])


async def test_changing_roles_leaves_grants_and_the_reverse(it: Ground) -> None:
    """What is not named stays; logins go on."""
    await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    await it.users.set_rights("alice", grants=["wsauth:revoke"])
    user = await it.users.set_rights("alice", roles=["member", "member"])
    assert (user.roles, user.grants) == (("member",), ("wsauth:revoke",))
    await it.sessions.refresh(it.sessions.refresh_token(known.session))


async def test_changes_of_roles_and_of_grants_at_once_both_count(it: Ground) -> None:
    """One administrator takes a grant away while others change roles: it stays away."""
    await it.alice()
    await it.users.set_rights("alice", grants=["wsauth:admin"])
    works = [it.users.set_rights("alice", roles=[f"role-{number}"]) for number in range(8)]
    await asyncio.gather(*works[:4], it.users.set_rights("alice", grants=[]), *works[4:])
    user = await it.users.get("alice")
    assert (user.roles, user.grants) == (("role-7",), ())


@pytest.mark.parametrize("hashed", ["bcrypt", "argon2"])
async def test_an_imported_user_comes_in_with_their_old_password(it: Ground, hashed: str) -> None:
    """Their hash is taken as it is, and a bcrypt hash is made ours at the first login; the password stays good."""
    if hashed == "bcrypt":
        old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    else:
        old = await it.passwords.hash(PASSWORD)
    await it.users.add_hashed("alice", old, roles=["member"])
    assert (await it.sessions.login("alice", PASSWORD, "tokens")).user.roles == ("member",)
    assert (await it.users.get("alice")).password_hash.startswith("$argon2id$")
    await it.sessions.login("alice", PASSWORD, "tokens")
    with pytest.raises(Refused, match="credentials_invalid"):
        await it.sessions.login("alice", CHANGED, "tokens")


@pytest.mark.parametrize("hashed", ["", PASSWORD, "$1$abc$def", "$2b$31$" + "a" * 53, "$argon2id$v=19$m=99999999,t=9"])
async def test_what_is_no_hash_that_can_be_checked_is_not_imported(it: Ground, hashed: str) -> None:
    """A plain password, another scheme and a cost that would stop the server are refused, and not repeated."""
    with pytest.raises(ConfigurationError) as no:
        await it.users.add_hashed("alice", hashed)
    assert not hashed or hashed not in str(no.value)
    assert await it.users.find("alice") is None


async def test_an_imported_user_may_be_disabled(it: Ground) -> None:
    """Until they are enabled they do not come in."""
    await it.users.add_hashed("alice", await it.passwords.hash(PASSWORD), disabled=True)
    with pytest.raises(Refused, match="credentials_invalid"):
        await it.sessions.login("alice", PASSWORD, "tokens")
    await it.users.enable("alice")
    await it.sessions.login("alice", PASSWORD, "tokens")


async def test_an_api_key_opens_until_it_is_replaced(it: Ground) -> None:
    """Asked for again and again it is remembered; after the row has come the old one is nobody's."""
    _, key = await it.users.add_service("robot", roles=["member"])
    assert key.startswith(API_KEY_PREFIX)
    for _ in range(3):
        found = await it.users.of_key(key)
        assert found is not None
        assert found.username == "robot"
    _, new = await it.users.reset_key("robot")
    it.users.heed([row("user", "robot")])
    assert await it.users.of_key(key) is None
    assert await it.users.of_key(new) is not None
    for wrong in (key[:-1], new + "A", API_KEY_PREFIX, "", new.upper(), new.removeprefix(API_KEY_PREFIX)):
        assert await it.users.of_key(wrong) is None


@pytest.mark.parametrize("how", ["disable", "remove", "replace"])
async def test_a_key_that_ends_while_it_is_read_is_not_remembered(it: Ground, how: str) -> None:
    """The key is read, its service changed, the row comes, and only then would it be remembered."""
    _, key = await it.users.add_service("robot")
    answered, go_on = asyncio.Event(), asyncio.Event()
    real = it.store.users.find_by_key

    async def slowly(tag: bytes) -> Any:
        found = await real(tag)
        answered.set()
        await go_on.wait()
        return found

    it.store.users.find_by_key = slowly  # type: ignore[method-assign, assignment]  # the real store, at another speed
    reading = asyncio.ensure_future(it.users.of_key(key))
    await answered.wait()
    if how == "disable":
        await it.users.disable("robot")
    elif how == "remove":
        await it.users.remove("robot")
    else:
        await it.users.reset_key("robot")
    it.users.heed([row("user", "robot")])
    go_on.set()
    await reading
    assert await it.users.of_key(key) is None


async def test_a_service_and_a_person_are_not_changed_into_each_other(it: Ground) -> None:
    """A service gets no password, and a person no key."""
    await it.alice()
    await it.users.add_service("robot")
    for work in (
        it.users.set_password("robot", PASSWORD),
        it.users.reset_password("robot"),
        it.users.reset_key("Alice"),
    ):
        with pytest.raises(Refused, match="conflict"):
            await work


async def test_no_secret_stands_in_the_store_or_in_a_repr(it: Ground) -> None:
    """Neither the API key nor the password, in what a user says of itself or in the file."""
    await it.alice()
    user, key = await it.users.add_service("robot")
    await it.users.of_key(key)
    file = it.store._file
    raw = b"".join(path.read_bytes() for path in file.path.parent.iterdir() if path.name.startswith("wsauth.db"))
    for secret in (key, key.removeprefix(API_KEY_PREFIX), PASSWORD):
        assert secret.encode() not in raw
    alice = await it.users.get("alice")
    assert alice.password_hash not in f"{alice!r} {user!r} {it.users!r}"


@pytest.mark.parametrize("how", ["set", "reset", "disable", "remove"])
async def test_an_administrators_change_ends_every_login(it: Ground, how: str) -> None:
    """Refresh tokens and cookies of before are dead."""
    await it.alice()
    sessions = [await it.sessions.login("alice", PASSWORD, kind) for kind in ("tokens", "cookie")]
    if how == "set":
        await it.users.set_password("alice", CHANGED)
    elif how == "reset":
        _, password = await it.users.reset_password("alice")
        await it.sessions.login("alice", password, "tokens")
    elif how == "disable":
        await it.users.disable("alice")
    else:
        await it.users.remove("alice")
    for known in sessions:
        assert await it.sessions.find(known.session.id) is None


async def test_a_removed_name_given_again_is_somebody_else(it: Ground) -> None:
    """The new Alice has a later epoch, and nothing of the old one opens."""
    old = await it.alice()
    known = await it.sessions.login("alice", PASSWORD, "tokens")
    await it.users.remove("alice")
    new = await it.alice()
    assert new.epoch > old.epoch
    with pytest.raises(Refused, match="session_revoked"):
        await it.sessions.refresh(it.sessions.refresh_token(known.session))


async def test_who_is_not_there_cannot_be_changed(it: Ground) -> None:
    """Every change of nobody is `not_found`, and says the name only."""
    users = it.users
    for work in (
        users.get("nobody"),
        users.set_rights("nobody", roles=[]),
        users.set_password("nobody", PASSWORD),
        users.reset_password("nobody"),
        users.reset_key("nobody"),
        users.disable("nobody"),
        users.enable("nobody"),
        users.remove("nobody"),
    ):
        with pytest.raises(Refused, match="not_found"):
            await work


async def test_a_weak_password_is_refused_with_reasons(it: Ground) -> None:
    """Too short, too long or the name itself, for a new user and for an old one; nothing changes."""
    await it.alice()
    for password in ("short", "x" * 257, ""):
        with pytest.raises(PasswordRejected) as no:
            await it.users.set_password("alice", password)
        assert no.value.reasons
        with pytest.raises(PasswordRejected):
            await it.users.add("bob", password)
    await it.sessions.login("alice", PASSWORD, "tokens")
    assert await it.users.find("bob") is None
