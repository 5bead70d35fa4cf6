"""Revocations where others issue tokens: they are remembered for as long as a token may live."""

from pathlib import Path

import pytest

from wsauth.core.identity import Identity
from wsauth.guard.configured import backend_of, guard_of
from wsauth.settings import load
from wsauth.testing import FakeClock

DAY = 86_400.0
ISSUER = "https://i.example"
KINDS = {
    "jwt": 'audience = "chat"\nsecret = "0123456789abcdef0123456789abcdef-x"',
    "introspection": 'audience = "chat"\nurl = "https://i.example/i"\nclient_id = "a"\nclient_secret = "b"',
    "http": 'url = "https://app.example/me"',
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["guard", "command", "everything"])
@pytest.mark.parametrize(("max_ttl", "kept"), [("1h", DAY), ("7d", 7 * DAY), ("0", 1000 * DAY)])
async def test_a_revocation_is_kept_as_long_as_what_it_is_about(
    tmp_path: Path, kind: str, way: str, max_ttl: str, kept: float
) -> None:
    """However it is given: a day at least, as long as a token may live, without an end where that has none.

    Also after a restart; and a token whose issuer's clock is 20 seconds ahead is no newer than the revocation.
    """
    clock, file = FakeClock(), tmp_path / "wsauth.toml"
    file.write_text(f'[[issuers]]\nkind = "{kind}"\nissuer = "{ISSUER}"\n{KINDS[kind]}\nmax_ttl = "{max_ttl}"\n')
    settings = load(file, {"WSAUTH__TOKENS__ISSUER": "http://wsauth.test"})
    alice, made = Identity("alice", issuer=ISSUER), clock.now() + (0 if kind == "http" else 20)
    async with guard_of(settings, backend_of(settings, clock=clock)) as guard:
        if way == "guard":
            await guard.revoke(subject="alice", issuer=ISSUER)
        elif way == "command":
            await guard.backend.revoke(subject="alice", issuer=ISSUER)
        else:
            await guard.backend.revoke_all()
    clock.advance(kept - 60)
    async with guard_of(settings, backend_of(settings, clock=clock)) as guard:
        assert guard.connections.revocations.check(alice, made) is not None
        assert guard.connections.revocations.check(alice, clock.now()) is None
