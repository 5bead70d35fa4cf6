"""Failed logins, remembered by the store."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.services.ground import CHANGED, PASSWORD, Ground, ground
from wsauth.errors import Refused


async def refusal(it: Ground, password: str, address: str = "198.51.100.1", name: str = "alice") -> str:
    """Return the code of a login's refusal, or nothing."""
    try:
        await it.sessions.login(name, password, "tokens", address=address)
    except Refused as error:
        return error.code
    return ""


async def test_the_answer_of_a_locked_account_does_not_depend_on_the_password(tmp_path: Path) -> None:
    """PW-01: right, wrong, known and unknown are answered alike while the name is locked."""
    async with ground(tmp_path) as it:
        await it.alice()
        known, unknown = {"name": "alice", "address": "198.51.100.1"}, {"name": "nobody", "address": "198.51.100.2"}
        for named in (known, unknown):
            assert [await refusal(it, "wrong", **named) for _ in range(10)] == ["credentials_invalid"] * 10
            assert await refusal(it, "wrong", **named) == "account_locked"
            assert await refusal(it, PASSWORD, **named) == "account_locked"
        await it.lockout.unlock("ALICE")
        assert await refusal(it, PASSWORD, **known) == ""
        assert await refusal(it, PASSWORD, **unknown) == "account_locked"


async def test_a_known_device_is_known_for_one_account(tmp_path: Path) -> None:
    """What the owner of `x alice` keeps is nothing for alice's account, however it is cut."""
    async with ground(tmp_path) as it:
        await it.alice()
        theirs, hers = it.lockout.device_cookie("x alice"), it.lockout.device_cookie("alice")
        for _ in range(11):
            await refusal(it, "wrong")
        device, _, tag = theirs.partition(".")
        for forged in (theirs, f"{device} x.{tag}", f"{device}x.{tag}", f".{tag}", hers[:-1], hers.upper(), ""):
            with pytest.raises(Refused) as no:
                await it.sessions.login("alice", PASSWORD, "tokens", address="198.51.100.1", device=forged)
            assert no.value.code == "account_locked", forged
        await it.sessions.login("alice", PASSWORD, "tokens", address="198.51.100.1", device=hers)


async def test_many_at_once_are_no_way_around(tmp_path: Path) -> None:
    """Of fifty wrong passwords at the same time ten are looked at."""
    async with ground(tmp_path) as it:
        await it.alice()
        found = await asyncio.gather(*(refusal(it, f"wrong {each}") for each in range(50)))
        assert found.count("credentials_invalid") == 10
        assert found.count("account_locked") == 40


async def test_spellings_share_a_counter(tmp_path: Path) -> None:
    """PW-13: another spelling of the name brings no further try."""
    async with ground(tmp_path) as it:
        await it.alice()
        for name in ["Alice", "ALICE", "alice ", "alice\u200b", "alice"] * 2:
            assert await refusal(it, "wrong", name=name) == "credentials_invalid"
        assert await refusal(it, "wrong", name=" aLiCe") == "account_locked"


async def test_no_typed_name_stands_in_the_store(tmp_path: Path) -> None:
    """Somebody who types a password where the name belongs does not leave it behind."""
    async with ground(tmp_path) as it:
        await refusal(it, "x", name="correct horse battery staple")
        await it.store.engine.read(lambda transaction: transaction.one("SELECT 1"))
        written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
        assert b"login_failures" in written
        assert b"correct horse" not in written


async def test_what_is_over_is_pruned(tmp_path: Path) -> None:
    """A day after the last failure the store remembers none of them."""
    async with ground(tmp_path) as it:
        for each in range(5):
            await refusal(it, "wrong", name=f"junk {each}")
        it.clock.advance(86_401)
        await it.lockout.prune()
        left = await it.store.engine.read(lambda transaction: transaction.all("SELECT key FROM login_failures"))
        assert list(left) == []


async def test_the_current_password_cannot_be_guessed_by_a_session(tmp_path: Path) -> None:
    """PW-23: whoever took over a session has ten tries at the password that it needs to change it, then the lock."""
    async with ground(tmp_path) as it:
        await it.alice()
        known = await it.sessions.login("alice", PASSWORD, "tokens")
        codes = []
        for _ in range(25):
            with pytest.raises(Refused) as caught:
                await it.change_password(known, "wrong", CHANGED)
            codes.append(caught.value.code)
        assert codes[-1] == "account_locked"
        assert codes.count("credentials_invalid") <= 20
