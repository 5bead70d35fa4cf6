"""Probe."""
import asyncio
from tests.races.world import *

async def test_api_key_is_extended(here, clock):
    """API keys."""
    _, key = await here.local.users.add_service("robot", roles=["member"])
    faces = [await here.connected(here.bearer(key)) for _ in range(3)]
    ends = faces[0].connection.expires_at
    clock.advance(260)
    await eventually(lambda: all(f.connection.expires_at > ends for f in faces), 4)
    clock.advance(280)
    ends = faces[0].connection.expires_at
    await eventually(lambda: all(f.connection.expires_at > ends for f in faces), 4)

async def test_byhand_not_extended(here, clock):
    """by hand."""
    known = await here.login(kind="cookie")
    face = await here.connected(here.cookie(known.session))
    user = await here.local.users.get("alice")
    token = here.local.tokens.issue_by_hand("alice", ttl=320, user=user)
    face.say(type="auth", token=token)
    await asyncio.sleep(0.1)
    end = face.connection.expires_at
    assert face.connection.identity.session_id is None
    clock.advance(290)
    await asyncio.sleep(2.5)
    assert face.connection.expires_at == end

async def test_rights_after_password(here, clock):
    """carried."""
    known = await here.login()
    face = await here.connected(here.bearer(here.access(known)))
    user = await here.local.users.get("alice")
    async def h(): return await here.local.users.hash_password(PASSWORD + "x", "alice")
    await here.local.sessions.change_password(user, PASSWORD, h, known.session.id)
    await asyncio.sleep(0.3)
    assert face.open
    await here.local.users.set_rights("alice", roles=["member"])
    await asyncio.sleep(0.3)
    assert face.open, face.code
    assert face.connection.identity.roles == ("member",)

async def test_key_removed(here, clock):
    """key."""
    known = await here.login()
    token = here.access(known)
    old = here.local.signing.all()[0].key_id
    await here.connected(here.bearer(token))
    await here.local.signing.rotate(at_once=True)
    await here.local.signing.remove(old)
    await asyncio.sleep(0.3)
    face = here.bearer(token)
    await face.settled()
    assert face.code == "token_invalid"
