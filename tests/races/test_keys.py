"""Keys that are removed while tokens of theirs are remembered, in other processes and while the store is away."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.races.world import Process, eventually, process
from wsauth.errors import ConfigurationError, Refused
from wsauth.interfaces.keys import KeyStore, StoredKey
from wsauth.testing import FakeClock


class Away:
    """Be the keys of a store that cannot be reached for a while.

    Attributes:
        asked: how often it was asked in vain.
    """

    def __init__(self, keys: KeyStore, times: int) -> None:
        self._keys = keys
        self._times = times
        self.asked = 0

    async def all(self) -> Sequence[StoredKey]:
        """Return every key, if the store is there."""
        if self.asked < self._times:
            self.asked += 1
            raise Refused("unavailable", "the store is away")
        return await self._keys.all()


async def test_a_removed_key_is_refused_everywhere_although_it_was_remembered(here: Process, there: Process) -> None:
    """Both processes found the token good a moment ago; its key is removed in one of them."""
    token = here.access(await here.login())
    for one in (here, there):
        await one.connected(one.bearer(token))
    old = here.local.signing.all()[0].key_id
    await here.local.signing.rotate(at_once=True)
    await here.local.signing.remove(old)
    refused = here.bearer(token)
    await refused.settled()
    assert refused.code == "token_invalid"
    await eventually(lambda: there.local.tokens.recall(token) is None, within=1.0)
    again = there.bearer(token)
    await again.settled()
    assert again.code == "token_invalid"
    await there.connected(there.bearer(here.access(await here.login())))


async def test_a_removal_is_heeded_although_the_store_was_away(here: Process, there: Process) -> None:
    """The row comes, and the keys cannot be read; a second later they are, and the removed one is refused."""
    token = here.access(await here.login())
    await there.connected(there.bearer(token))
    store = there.guard.backend.store
    assert store is not None
    away = Away(store.keys, 2)
    there.local.signing._store = away  # type: ignore[assignment]  # only `all` is asked for
    old = here.local.signing.all()[0].key_id
    await here.local.signing.rotate(at_once=True)
    await here.local.signing.remove(old)
    await eventually(lambda: away.asked == 2)
    await eventually(lambda: there.local.tokens.recall(token) is None)
    refused = there.bearer(token)
    await refused.settled()
    assert refused.code == "token_invalid"


async def test_another_key_file_opens_no_process(tmp_path: Path, clock: FakeClock, here: Process) -> None:
    """The store says which key file it was made with; with another one nothing starts, and the key is named."""
    with pytest.raises(ConfigurationError, match=r"store\.key_file"):
        async with process(tmp_path, clock, key_file="another.key"):
            raise AssertionError
    await here.connected(here.bearer(here.access(await here.login())))
