"""Somebody else's logins at the real server: signed tokens, opaque ones, and the sessions of an application's backend.

The provider is oidc-provider from npm, the backend a Django application with its own login; where a server has to
misbehave it is a scripted one.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.end_to_end import oidc
from tests.end_to_end.administering import closed, control
from tests.end_to_end.django import django
from tests.issuing import Provider, provider, public_jwk, response, signed
from tests.lifeline import hold, release
from tests.wsauth_server import Serving, command, serving
from tests.wsauth_sockets import called, eventually

PAGE = "https://app.example"
CONFIG = f"""
[server]
origins = ["{PAGE}"]

[[routes]]
path = "/ws"
upstream = "echo"
sources = ["header", "cookie", "ticket", "message"]
grace = "1s"

[roles]
member = ["chat:read"]
"""
SCRIPTED = """
[[issuers]]
kind = "introspection"
issuer = "https://login.example"
audience = false
url = "{url}/introspect"
client_id = "we"
client_secret = "not so secret"
roles = {{staff = "member"}}
recheck = "{recheck}"
"""
YES = {"active": True, "sub": "alice", "iss": "https://login.example"}
DOWN = response(b"", status="503 Down")


async def opened(stack: AsyncExitStack, at: Serving, token: str) -> tuple[ClientConnection, dict[str, object]]:
    """Open a socket that speaks wsauth, and return it and what it is told at first."""
    headers = {"Authorization": f"Bearer {token}"}
    socket = await stack.enter_async_context(
        connect(f"{at.ws}/ws", additional_headers=headers, subprotocols=["wsauth.v1"])  # type: ignore[list-item]  # a NewType of the library's
    )
    return socket, await control(socket)


async def code(at: Serving, token: str) -> tuple[int, str]:
    """Return status and code of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as no:
        await connect(f"{at.ws}/ws", additional_headers={"Authorization": f"Bearer {token}"})
    return no.value.response.status_code, json.loads(no.value.response.body or b"{}")["code"]


async def echoes(socket: ClientConnection, text: str = "hi") -> bool:
    """Tell whether a message comes back, whatever wsauth says before it."""
    await socket.send(text)
    async with asyncio.timeout(5):
        while (heard := await socket.recv()) != text:
            assert str(heard).startswith('{"type":"auth_'), heard
    return True


@pytest.fixture
async def idp() -> AsyncGenerator[Provider]:
    """Run a scripted server that says yes."""
    async with provider() as found:
        found.answers["/introspect"] = YES
        yield found


# Asked again while the socket is open.


async def test_a_socket_lives_on_while_the_answer_is_yes(tmp_path: Path, idp: Provider) -> None:
    """It is told of each longer lease, and of other rights; a no closes it with its reason."""
    config = CONFIG + SCRIPTED.format(url=idp.url, recheck="2s")
    async with serving(tmp_path, config=config) as at, AsyncExitStack() as stack:
        socket, first = await opened(stack, at, "opaque")
        assert (first["type"], first["expires_in"]) == ("auth_success", pytest.approx(2, abs=0.2))
        idp.answers["/introspect"] = YES | {"roles": ["staff", "unknown"]}
        told = [await control(socket) for _ in range(4)]
        assert [each["type"] for each in told if each["type"] != "auth_success"] == ["auth_changed"]
        assert next(each for each in told if each["type"] == "auth_changed")["roles"] == ["member"]
        assert await echoes(socket)
        idp.answers["/introspect"] = {"active": False}
        assert await closed(socket) == "3000 token_revoked"
        assert (await code(at, "opaque"))[1] == "token_invalid"


async def test_a_lease_is_no_longer_while_nobody_answers(tmp_path: Path, idp: Provider) -> None:
    """The server is down: nobody new gets in, an open socket lives to its end; one that is back in time goes on."""
    config = CONFIG + SCRIPTED.format(url=idp.url, recheck="4s")
    async with serving(tmp_path, config=config) as at, AsyncExitStack() as stack:
        lost, _ = await opened(stack, at, "one")
        idp.answers["/introspect"] = DOWN
        assert await code(at, "two") == (503, "unavailable")
        assert await echoes(lost)
        assert await closed(lost) == "3000 token_expired"
        idp.answers["/introspect"] = YES

        async def is_back() -> bool:
            try:
                kept, _ = await opened(stack, at, "three")
            except InvalidStatus:
                return False
            return await echoes(kept)

        assert await eventually(is_back, 20.0)


async def test_a_lease_becomes_shorter_when_they_say_so(tmp_path: Path, idp: Provider) -> None:
    """An end that is sooner than it was is the end."""
    config = CONFIG + SCRIPTED.format(url=idp.url, recheck="20s")
    async with serving(tmp_path, config=config) as at, AsyncExitStack() as stack:
        socket, first = await opened(stack, at, "opaque")
        assert first["expires_in"] == pytest.approx(20, abs=1)
        idp.answers["/introspect"] = YES | {"exp": int(time.time()) + 17}
        async with asyncio.timeout(20):
            assert (await control(socket))["expires_in"] < 8
            assert await closed(socket) == "3000 token_expired"


async def test_one_issuers_outage_is_not_anothers(tmp_path: Path, idp: Provider) -> None:
    """What the first cannot say the second is asked; only if nobody says yes the answer is that it is not known."""
    second = """
[[issuers]]
kind = "http"
url = "{url}/me"
"""
    config = CONFIG + SCRIPTED.format(url=idp.url, recheck="5m") + second.format(url=idp.url)
    async with serving(tmp_path, config=config) as at, AsyncExitStack() as stack:
        idp.answers = {"/introspect": DOWN, "/me": {"subject": "bob"}}
        _, first = await opened(stack, at, "theirs")
        assert (first["issuer"], first["subject"]) == ("http", "bob")
        idp.answers["/me"] = response(b"", status="401 No")
        assert await code(at, "nobodys") == (503, "unavailable")


async def test_a_token_that_is_somebody_elses_later_closes(tmp_path: Path, idp: Provider) -> None:
    """A connection is one identity's for good."""
    config = CONFIG + SCRIPTED.format(url=idp.url, recheck="2s")
    async with serving(tmp_path, config=config) as at, AsyncExitStack() as stack:
        socket, _ = await opened(stack, at, "opaque")
        idp.answers["/introspect"] = YES | {"sub": "bob"}
        assert await closed(socket) == "3000 token_revoked"


async def test_hundreds_of_sockets_are_asked_about_one_by_one(tmp_path: Path, idp: Provider) -> None:
    """Of 200 that came together each is asked about at a moment of its own, and all of them live on."""
    config = CONFIG + SCRIPTED.format(url=idp.url, recheck="6s")
    environ = {"WSAUTH__LIMITS__CONNECTIONS_PER_IDENTITY": "1000"}
    async with serving(tmp_path, config=config, environ=environ) as at, AsyncExitStack() as stack:
        sockets = [(await opened(stack, at, f"token-{each}"))[0] for each in range(200)]
        assert len(idp.asked) >= 200

        async def asked_again() -> bool:
            return len(idp.asked) >= 600

        assert await eventually(asked_again, 20.0)
        assert all([await echoes(each) for each in sockets])


# The real provider.


async def test_an_opaque_token_of_a_real_provider(tmp_path: Path, node: Path) -> None:
    """Its holder is asked about by basic and by post; revoked there, the socket here ends, and so does a handshake."""
    port = oidc.free_port()
    async with oidc.running(node, port) as idp, AsyncExitStack() as stack:
        for way, (client, secret) in (("basic", oidc.OURS), ("post", oidc.OURS_BY_POST)):
            config = f"""{CONFIG}
[[issuers]]
kind = "introspection"
issuer = "{idp.issuer}"
audience = "{oidc.OPAQUE}"
url = "{idp.issuer}/token/introspection"
client_id = "{client}"
client_auth = "{way}"
recheck = "2s"
"""
            folder = tmp_path / way
            folder.mkdir()
            environ = {"WSAUTH__ISSUERS__0__CLIENT_SECRET": secret}
            at = await stack.enter_async_context(serving(folder, config=config, environ=environ))
            token = await idp.token("alice", oidc.OPAQUE)
            socket, first = await opened(stack, at, token)
            assert (first["subject"], first["issuer"]) == ("alice", idp.issuer)
            assert first["permissions"] == ["chat:read"]
            assert await echoes(socket)
            await idp.revoke(token)
            assert await closed(socket) == "3000 token_revoked"
            assert await code(at, token) == (401, "token_invalid")
            assert await code(at, await idp.client_token(oidc.OPAQUE)) == (401, "token_invalid")


async def test_a_signed_token_of_a_real_provider(tmp_path: Path, node: Path) -> None:
    """Discovery is all that is configured; a ticket can be had for it; the provider may then be gone for a while."""
    port = oidc.free_port()
    async with AsyncExitStack() as stack:
        async with oidc.running(node, port) as idp:
            config = f'{CONFIG}\n[[issuers]]\nissuer = "{idp.issuer}"\naudience = "{oidc.SIGNED}"\n'
            at = await stack.enter_async_context(serving(tmp_path, config=config))
            token = await idp.token("alice", oidc.SIGNED)
            socket, first = await opened(stack, at, token)
            assert (first["subject"], first["issuer"]) == ("alice", idp.issuer)
            elsewhere = await idp.token("alice", "https://elsewhere.example/signed")
            assert await code(at, elsewhere) == (401, "token_invalid")
            assert await code(at, idp.id_token) == (401, "token_invalid")  # OA-11
            its_own = await idp.client_token(oidc.SIGNED)
            assert (await called("GET", f"{at.http}/auth/me", its_own, None)).json()["subject"] == "client:app"  # OA-34
            ticket = (await called("POST", f"{at.http}/auth/ticket", token, {})).json()["ticket"]
        by_ticket = await stack.enter_async_context(connect(f"{at.ws}/ws?ticket={ticket}"))
        assert await echoes(by_ticket)
        assert await echoes(socket)
        await opened(stack, at, token)
        revoked = await at.command("sessions", "revoke", "--subject", "alice", "--issuer", idp.issuer)
        assert revoked.status == 0, revoked.err
        assert await closed(socket) == "3000 token_revoked"


async def test_equal_subjects_of_two_issuers_are_two(tmp_path: Path, node: Path, idp: Provider) -> None:
    """Whoever is revoked at the one is not at the other, and our own user of that name is a third."""
    port = oidc.free_port()
    async with oidc.running(node, port) as theirs, AsyncExitStack() as stack:
        config = f"""{CONFIG}{SCRIPTED.format(url=idp.url, recheck="5m")}
[[issuers]]
name = "theirs"
issuer = "{theirs.issuer}"
audience = "{oidc.SIGNED}"
"""
        at = await stack.enter_async_context(serving(tmp_path, config=config))
        password = await at.add_user("alice", "four white rabbits and a watch")
        own = (await at.login("alice", password))["access_token"]
        tokens = [own, "opaque", await theirs.token("alice", oidc.SIGNED)]
        sockets = [(await opened(stack, at, each))[0] for each in tokens]
        done = await at.command("sessions", "revoke", "--subject", "alice", "--issuer", theirs.issuer)
        assert done.status == 0, done.err
        assert await closed(sockets[2]) == "3000 token_revoked"
        assert await echoes(sockets[0])
        assert await echoes(sockets[1])


async def test_keys_rotate_under_open_sockets(tmp_path: Path, idp: Provider) -> None:
    """The provider takes its key away and signs with another: open sockets go on and renew, the old key's tokens are
    refused, and 500 handshakes with unknown keys at once fetch the set once in half a minute."""
    idp.publish(public_jwk("ES256", kid="old"))
    config = f'{CONFIG}\n[[issuers]]\nissuer = "{idp.url}"\naudience = "chat"\n'
    async with serving(tmp_path, config=config) as at, AsyncExitStack() as stack:

        def token(which: str, kid: str, number: int = 0) -> str:
            now = int(time.time())
            said = {
                "iss": idp.url,
                "sub": "alice",
                "aud": "chat",
                "iat": now,
                "exp": now + 600,
                "jti": f"{kid}{number}",
            }
            return signed(said, "ES256", which, kid=kid, typ="at+jwt")

        old = token("", "old")
        socket, _ = await opened(stack, at, old)
        idp.publish(public_jwk("ES256", "new", kid="new"))
        before = idp.asked.count("/jwks")
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:

            async def status(presented: str) -> int:
                asked = await http.get(f"{at.http}/auth/me", headers={"Authorization": f"Bearer {presented}"})
                return asked.status_code

            flood = await asyncio.gather(*(status(token("mallory", f"unknown {n}", n)) for n in range(500)))
            assert set(flood) <= {401, 429}
            assert idp.asked.count("/jwks") - before <= 1
            new = token("new", "new", 1)
            async with asyncio.timeout(45):
                while await status(new) != 200:  # noqa: ASYNC110  another process waits for half a minute to be over
                    await asyncio.sleep(1)
            assert idp.asked.count("/jwks") - before <= 2
            assert await status(old) == 401
        assert await echoes(socket)
        await socket.send(json.dumps({"type": "auth", "token": new}))
        assert (await control(socket))["type"] == "auth_success"


async def test_the_real_provider_rotates_its_keys(tmp_path: Path, node: Path) -> None:
    """It comes back with another key: the open socket goes on, a new token is taken within half a minute, and once it
    was, the old one is refused."""
    port = oidc.free_port()
    async with AsyncExitStack() as stack:
        async with oidc.running(node, port) as idp:
            config = f'{CONFIG}\n[[issuers]]\nissuer = "{idp.issuer}"\naudience = "{oidc.SIGNED}"\n'
            at = await stack.enter_async_context(serving(tmp_path, config=config))
            old = await idp.token("alice", oidc.SIGNED)
            socket, _ = await opened(stack, at, old)
        async with oidc.running(node, port) as idp:
            new = await idp.token("alice", oidc.SIGNED)

            async def status(token: str) -> int:
                return (await called("GET", f"{at.http}/auth/me", token, None)).status_code

            async with asyncio.timeout(60):
                while await status(new) != 200:  # noqa: ASYNC110  another process waits for half a minute to be over
                    await asyncio.sleep(1)
            assert await status(old) == 401
            assert await echoes(socket)


# Their log-out is ours.

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


async def test_a_log_out_at_the_real_provider_closes_the_sockets(tmp_path: Path, node: Path) -> None:
    """Alice logs out on the provider's page: it tells us, her socket is closed, and Bob's is not; the log has it."""
    port, ours = oidc.free_port(), oidc.free_port()
    logouts = f"http://127.0.0.1:{ours}/auth/oauth/idp/backchannel-logout"
    async with oidc.running(node, port, logouts) as idp, AsyncExitStack() as stack:
        config = f"""{CONFIG}
[[issuers]]
name = "idp"
issuer = "{idp.issuer}"
audience = "{oidc.SIGNED}"
client_id = "app"
sign_in = false
"""
        at = await stack.enter_async_context(serving(tmp_path, "--port", str(ours), config=config))
        browser = await stack.enter_async_context(httpx2.AsyncClient(base_url=idp.issuer, trust_env=False))
        token = await idp.sign_in(browser, "alice", oidc.SIGNED)
        hers, _ = await opened(stack, at, token)
        his, _ = await opened(stack, at, await idp.token("bob", oidc.SIGNED))
        await asyncio.sleep(1.1)  # her token is a second older than the log-out, which is told in whole seconds
        await idp.log_out(browser)
        assert await closed(hers) == "3000 token_revoked"
        assert await echoes(his)
        assert await code(at, token) == (401, "token_revoked")
        entries = (await at.command("audit", "list", "--json", "--event", "authn_token_revoked")).out
        assert json.loads(entries)["subject"] == "alice"


@pytest.fixture
async def told(tmp_path: Path, idp: Provider) -> AsyncGenerator[Serving]:
    """Run a server that the scripted provider may tell of log-outs."""
    idp.publish(public_jwk("ES256", kid="k"))
    config = f"""{CONFIG}
[[issuers]]
name = "idp"
issuer = "{idp.url}"
audience = "chat"
client_id = "web"
sign_in = false
"""
    async with serving(tmp_path, config=config) as at:
        yield at


def token_of(idp: Provider, subject: str, session: str, *, ago: int = 60) -> str:
    """Return an access token of a session."""
    now = int(time.time())
    said = {"iss": idp.url, "sub": subject, "aud": "chat", "iat": now - ago, "exp": now + 600, "sid": session}
    return signed(said, "ES256", kid="k", typ="at+jwt")


def log_out(idp: Provider, number: int, **named: str) -> str:
    """Return a logout token."""
    now = int(time.time())
    said = {"iss": idp.url, "aud": "web", "iat": now, "exp": now + 60, "jti": f"l-{number}", "events": {LOGOUT: {}}}
    return signed(said | named, "ES256", kid="k", typ="logout+jwt")


async def tell(at: Serving, token: str, path: str = "/auth/oauth/idp/backchannel-logout") -> httpx2.Response:
    """Tell of a log-out as a provider does."""
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        return await http.post(f"{at.http}{path}", data={"logout_token": token})


async def test_oa_23_exactly_whom_it_names_is_logged_out(told: Serving, idp: Provider) -> None:
    """OA-23: by `sid` that session, by both the same, by `sub` all of hers; within a second, and nobody else."""
    async with AsyncExitStack() as stack:
        names = [("alice", "s-1"), ("alice", "s-2"), ("alice", "s-3"), ("bob", "s-4")]
        first, second, third, bobs = [(await opened(stack, told, token_of(idp, *each)))[0] for each in names]
        for number, (socket, named) in enumerate(
            [(first, {"sid": "s-1"}), (second, {"sid": "s-2", "sub": "alice"}), (third, {"sub": "alice"})]
        ):
            answer = await tell(told, log_out(idp, number, **named))
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            async with asyncio.timeout(2):
                assert (await closed(socket)).startswith("3000 ")
        assert await echoes(bobs)


async def test_oa_25_a_newer_login_survives(told: Serving, idp: Provider) -> None:
    """OA-25: what was issued after the log-out is another login, also when the logout token comes late."""
    old, late = token_of(idp, "alice", "s-1"), log_out(idp, 1, sub="alice")
    await asyncio.sleep(1.1)
    async with AsyncExitStack() as stack:
        new, _ = await opened(stack, told, token_of(idp, "alice", "s-2", ago=0))
        assert (await tell(told, late)).status_code == 200
        assert await code(told, old) == (401, "session_revoked")
        assert await echoes(new)


async def test_oa_22_a_bad_logout_token_ends_nothing(told: Serving, idp: Provider) -> None:
    """OA-22: replayed, of another path, as a GET, twice in a form, huge, forged, no token: 400 and its like."""
    async with AsyncExitStack() as stack:
        socket, _ = await opened(stack, told, token_of(idp, "alice", "s-1"))
        password = await told.add_user("ann", "four white rabbits and a watch")
        ours, first = await opened(stack, told, (await told.login("ann", password))["access_token"])
        good = log_out(idp, 1, sid="s-9")
        assert (await tell(told, good)).status_code == 200
        url = f"{told.http}/auth/oauth/idp/backchannel-logout"
        async with httpx2.AsyncClient(trust_env=False) as http:
            wrong = [
                (await tell(told, good), 400),
                (await tell(told, log_out(idp, 7, sid=str(first["session_id"]))), 400),
                (await tell(told, log_out(idp, 2, sid="s-1"), "/auth/oauth/other/backchannel-logout"), 415),
                (await http.get(url, params={"logout_token": log_out(idp, 3, sid="s-1")}), 405),
                (await http.post(url, data={"logout_token": [log_out(idp, 4, sid="s-1")] * 2}), 400),
                (await http.post(url, data={"logout_token": "x" * 1_000_000}), 413),
                (await http.post(url, data={"logout_token": log_out(idp, 5, sid="s-1")[:-6] + "AAAAAA"}), 400),
                (await http.post(url, data={"logout_token": log_out(idp, 6, sid="s-1", nonce="n")}), 400),
                (await http.post(url, data={"logout_token": token_of(idp, "alice", "s-1")}), 400),
                (await http.post(url, data={}), 400),
                (await http.post(url, data={"logout_token": good}, headers={"Origin": "https://evil.example"}), 403),
            ]
        assert [answer.status_code for answer, _ in wrong] == [status for _, status in wrong]
        assert {answer.headers["cache-control"] for answer, _ in wrong if answer.status_code == 400} == {"no-store"}
        assert await echoes(socket)
        assert await echoes(ours)


# The application's own backend.


async def test_a_session_of_django_opens_a_socket_and_its_log_out_ends_it(tmp_path: Path) -> None:
    """The unchanged session cookie is enough; from another page or after the log-out it is not."""
    async with django(tmp_path) as app, AsyncExitStack() as stack:
        config = f"""{CONFIG}
[[issuers]]
kind = "http"
name = "django"
url = "{app.url}/whoami"
cookie = "sessionid"
roles = "*"
recheck = "2s"
"""
        folder = tmp_path / "wsauth"
        folder.mkdir()
        at = await stack.enter_async_context(serving(folder, config=config))
        browser = await stack.enter_async_context(httpx2.AsyncClient(base_url=app.url, trust_env=False))
        assert (await browser.post("/login", data={"username": "alice", "password": app.password})).status_code == 200
        cookie = f"sessionid={browser.cookies['sessionid']}; theme=dark"
        url = f"{at.ws}/ws"
        socket = await stack.enter_async_context(
            connect(url, additional_headers={"Cookie": cookie}, origin=PAGE, subprotocols=["wsauth.v1"])  # type: ignore[arg-type, list-item]  # NewTypes
        )
        first = await control(socket)
        assert (first["issuer"], first["subject"], first["roles"]) == ("django", "alice", ["member"])
        assert await echoes(socket)
        for origin in (None, "https://evil.example"):
            with pytest.raises(InvalidStatus):
                await connect(url, additional_headers={"Cookie": cookie}, origin=origin)  # type: ignore[arg-type]  # a NewType
        assert (await browser.post("/logout")).status_code == 200
        assert await closed(socket) == "3000 session_revoked"
        with pytest.raises(InvalidStatus) as no:
            await connect(url, additional_headers={"Cookie": "sessionid=forged"}, origin=None)
        assert no.value.response.status_code in (401, 403)


async def test_an_application_may_be_asked_about_its_own_sessions() -> None:
    """The question is not itself asked about, so nobody waits for themselves; every other request is."""
    port = oidc.free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "tests.apps.asks_itself:app", "--port", str(port), "--log-level", "error"),
        env={**os.environ, "PORT": str(port)}, start_new_session=True,
    )  # fmt: skip
    hold(process.pid)
    try:
        headers = {"Cookie": "sid=alices"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, headers=headers) as http:

            async def up() -> bool:
                try:
                    return bool((await http.get("/me")).json() == {"subject": "alice"})
                except httpx2.HTTPError:
                    return False

            assert await eventually(up, 20.0)
        url = f"ws://127.0.0.1:{port}/ws"
        async with connect(url, additional_headers=headers, origin=PAGE) as socket:  # type: ignore[arg-type]  # a NewType
            assert await echoes(socket)
        forged = {"Cookie": "sid=mallorys"}
        async with connect(url, additional_headers=forged, origin=PAGE) as socket:  # type: ignore[arg-type]  # as above
            assert await closed(socket) == "3000 token_invalid"
    finally:
        process.kill()
        await process.wait()
        release(process.pid)


# What is configured wrongly.

OAUTH = """client_id = "x"
authorization_url = "https://i.example/a"
token_url = "http://i.example/t"
userinfo_url = "https://i.example/u"
"""

TWICE = """issuer = "https://i.example"
audience = "a"
client_id = "x"
[[issuers]]
name = "again"
issuer = "https://i.example"
audience = "b"
client_id = "y"
"""


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('issuer = "https://i.example"', "issuers[0].audience is missing"),
        ('kind = "http"', "issuers[0].url is missing"),
        ('kind = "introspection"\nissuer = false\naudience = false\nurl = "https://i.example"', "issuers[0].client_id"),
        ('issuer = "https://i.example"\naudience = "a"\njwks_url = "http://i.example/"', "is not https"),
        ('issuer = "https://i.example"\naudience = "a"\nsecret = "short"', "secret"),
        ('issuer = "https://i.example"\naudience = "a"\nsign_in = true', "client_id: sign_in needs one"),
        ('issuer = "https://i.example"\naudience = "a"\nsign_in = "maybe"', "issuers[0].sign_in"),
        ('issuer = "https://i.example"\naudience = "a"\nclient_id = "x"\nscopes = ["email"]', 'without "openid"'),
        ('name = "a"\nclient_id = "x"\nauthorization_url = "https://i.example/a"', "token_url, userinfo_url"),
        (OAUTH, "is not https"),
        (OAUTH.replace("http://", "https://") + 'issuer = "wsauth"', "issuer of our own users"),
        (OAUTH.replace("http://", "https://") + 'audience = "a"', "issuers[0].audience is not read"),
        (OAUTH.replace("http://", "https://") + 'leeway = "5s"', "issuers[0].leeway is not read"),
        (TWICE, "by another entry"),
        ('issuer = "http://i.example"\naudience = "a"\nclient_id = "x"', "is not https"),
        ('kind = "http"\nurl = "https://a.example"\nclient_id = "x"', "issuers[0].client_id is not read"),
        ('kind = "http"\nurl = "https://a.example"\nclient_id = "x"\nsign_in = true', "where people sign in"),
        ('issuer = false\naudience = "a"\nclient_id = "x"\nsign_in = false\nsecret = "x"', "client_id needs"),
        ('kind = "http"\nurl = "https://a.example"\n[[issuers]]\nkind = "http"\nurl = "https://b.example"', "another"),
        ('kind = "http"\nname = "wsauth"\nurl = "https://a.example"', "issuers[0].name"),
        ('kind = "saml"', "issuers[0].kind"),
        ('issuer = "https://i.example"\naudience = []', "issuers[0].audience"),
        ('issuer = "https://i.example"\naudience = 0', "issuers[0].audience"),
        ('kind = "http"\nurl = "https://a.example"\naudience = "chat"', "issuers[0].audience is not read"),
        ('kind = "http"\nurl = "https://a.example"\nrequired_claims = { a = 1 }', "required_claims is not read"),
        ('kind = "http"\nurl = "https://a.example"\ncookie = "a b;c"', "issuers[0].cookie"),
        ('kind = "http"\nurl = "https://a.example"\ncookie = "wsauth"', "issuers[0].cookie"),
    ],
)  # fmt: skip
async def test_a_wrong_issuer_is_named_at_start(tmp_path: Path, table: str, said: str) -> None:
    """In one line, with its place; nothing is served."""
    with pytest.raises(RuntimeError) as no:
        async with serving(tmp_path, config=f"[[issuers]]\n{table}\n"):
            pass
    assert said in str(no.value)
    assert "Traceback" not in str(no.value)
    checked = await command(tmp_path, "check")
    assert (checked.status, said in checked.err, checked.err.count("\n")) == (2, True, 1)
