"""Signing in with a provider, at the real server: oidc-provider from npm, its own pages, and who comes back from it."""

import asyncio
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.end_to_end import oidc
from tests.end_to_end.administering import closed, control
from tests.leaks import secret
from tests.wsauth_server import Serving, serving
from tests.wsauth_sockets import called

PAGE = "https://app.example"
CONFIG = """
[server]
origins = ["{page}"]

[tokens]
access_ttl = "{access}"

[[routes]]
path = "/ws"
upstream = "echo"
grace = "1s"

[roles]
member = ["chat:read"]
owner = ["chat:**"]

[[issuers]]
name = "idp"
issuer = "{issuer}"
audience = "{audience}"
client_id = "web"
client_secret = "{secret}"
scopes = {scopes}
roles = {{staff = "member", boss = "owner"}}
recheck = "{recheck}"
"""


class Site:
    """Be a provider and a wsauth at which people sign in with it.

    Attributes:
        idp: the provider.
        at: the server.
    """

    def __init__(self, idp: oidc.Provider, at: Serving) -> None:
        self.idp = idp
        self.at = at

    async def sign_in(self, browser: httpx2.AsyncClient, subject: str, **query: str) -> httpx2.Response:
        """Sign in with a browser, and return the answer to its coming back."""
        begun = await browser.get(f"{self.at.http}/auth/oauth/idp/start", params=query)
        assert begun.status_code == 303, begun.text
        back = await self.idp.through(browser, begun.headers["location"], subject)
        return await browser.get(back)

    async def me(self, browser: httpx2.AsyncClient) -> dict[str, object]:
        """Return who the browser is to the server."""
        found: dict[str, object] = (await browser.get(f"{self.at.http}/auth/me")).json()
        return found

    async def socket(
        self, stack: AsyncExitStack, browser: httpx2.AsyncClient
    ) -> tuple[ClientConnection, dict[str, object]]:
        """Open a socket as the browser's page, by its cookie, and return it and what it is told at first."""
        headers = {"Cookie": f"wsauth={browser.cookies['wsauth']}"}
        opened = connect(
            f"{self.at.ws}/ws",
            additional_headers=headers,
            origin=PAGE,
            subprotocols=["wsauth.v1"],  # type: ignore[arg-type, list-item]  # NewTypes
        )
        socket = await stack.enter_async_context(opened)
        return socket, await control(socket)

    async def change(self, browser: httpx2.AsyncClient, path: str, body: object = None) -> httpx2.Response:
        """Send a change as the browser's page."""
        csrf = str((await self.me(browser))["csrf_token"])
        headers = {"Origin": PAGE, "X-CSRF-Token": csrf}
        return await browser.post(f"{self.at.http}{path}", headers=headers, json=body)


@asynccontextmanager
async def site(
    folder: Path, node: Path, *, recheck: str = "5m", access: str = "5m", offline: bool = True
) -> AsyncGenerator[Site]:
    """Run both."""
    port, ours = oidc.free_port(), oidc.free_port()
    here = f"http://127.0.0.1:{ours}"
    async with oidc.running(node, port, f"{here}/auth/oauth/idp/backchannel-logout", here) as idp:
        config = CONFIG.format(
            page=PAGE,
            access=access,
            issuer=idp.issuer,
            audience=oidc.SIGNED,
            secret=oidc.WEB[1],
            scopes=json.dumps(["openid", "roles", *(["offline_access"] if offline else [])]),
            recheck=recheck,
        )
        async with serving(folder, "--port", str(ours), config=config) as at:
            yield Site(idp, at)


def new_browser() -> httpx2.AsyncClient:
    """Return a browser, as far as cookies and redirects go; close it."""
    return httpx2.AsyncClient(trust_env=False, timeout=30)


async def test_a_login_there_is_a_session_here(tmp_path: Path, node: Path) -> None:
    """Code and PKCE at the real provider, on its own pages: a cookie, its socket, its ticket, and roles by the map."""
    async with site(tmp_path, node) as it, new_browser() as browser, AsyncExitStack() as stack:
        done = await it.sign_in(browser, "alice", return_to="/auth/me")
        assert (done.status_code, done.headers["location"]) == (303, "/auth/me")
        assert done.headers["cache-control"] == "no-store"
        assert secrets.compare_digest(browser.cookies.get("wsauth-sign-ins", ""), "")
        me = await it.me(browser)
        assert (me["issuer"], me["subject"]) == (it.idp.issuer, "alice")
        assert (me["roles"], me["permissions"]) == (["member"], ["chat:read"])
        _, first = await it.socket(stack, browser)
        assert (first["subject"], first["session_id"]) == ("alice", me["session_id"])
        ticket = (await it.change(browser, "/auth/ticket", {})).json()["ticket"]
        headers = {"Origin": PAGE}
        async with connect(f"{it.at.ws}/ws?ticket={ticket}", additional_headers=headers) as socket:
            await socket.send("hi")
            assert await socket.recv() == "hi"
        assert (await it.change(browser, "/auth/refresh")).json()["subject"] == "alice"
        listed = await it.at.command("sessions", "list", "--json")
        assert [(each["issuer"], each["subject"]) for each in listed.json()] == [(it.idp.issuer, "alice")]


async def test_a_page_may_have_tokens_instead(tmp_path: Path, node: Path) -> None:
    """It begins with a challenge of its own and fetches the tokens with the verifier, once; they go on by a refresh."""
    verifier = secret(secrets.token_urlsafe(48), "the code verifier of a page")
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"return_to": f"{PAGE}/done?a=1", "code_challenge": challenge, "code_challenge_method": "S256"}
    async with site(tmp_path, node) as it, new_browser() as browser, new_browser() as mallory:
        done = await it.sign_in(browser, "alice", **asked)
        to = urlsplit(done.headers["location"])
        assert (to.scheme, to.netloc, to.path) == ("https", "app.example", "/done")
        assert "wsauth" not in browser.cookies
        code, url = parse_qs(to.query)["code"][0], f"{it.at.http}/auth/oauth/idp/token"
        wrong = await mallory.post(url, json={"code": code, "code_verifier": "x" * 43})
        assert (wrong.status_code, wrong.json()["code"]) == (401, "token_invalid")
        spent = await browser.post(url, json={"code": code, "code_verifier": verifier})
        assert spent.status_code == 401
        again = await it.sign_in(browser, "alice", **asked)
        code = parse_qs(urlsplit(again.headers["location"]).query)["code"][0]
        answers = await asyncio.gather(
            *(browser.post(url, json={"code": code, "code_verifier": verifier}) for _ in range(8))
        )
        assert sorted(each.status_code for each in answers) == [200] + [401] * 7
        tokens = next(each.json() for each in answers if each.status_code == 200)
        async with connect(
            f"{it.at.ws}/ws", additional_headers={"Authorization": f"Bearer {tokens['access_token']}"}
        ) as socket:
            await socket.send("hi")
            assert await socket.recv() == "hi"
        assert (tokens["issuer"], tokens["subject"], tokens["roles"]) == (it.idp.issuer, "alice", ["member"])
        more = await browser.post(f"{it.at.http}/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert (more.json()["session_id"], more.json()["subject"]) == (tokens["session_id"], "alice")
        inspected = await it.at.command("tokens", "inspect", stdin=more.json()["access_token"])
        assert inspected.status == 0, inspected.err


async def test_equal_names_of_three_issuers_are_three_people(tmp_path: Path, node: Path) -> None:
    """OA-29: our own alice, the provider's, and an access token of it are told apart: by name, log-outs and lists."""
    async with site(tmp_path, node) as it, new_browser() as browser, AsyncExitStack() as stack:
        password = await it.at.add_user("alice", "four white rabbits and a watch")
        own = await it.at.login("alice", password)
        await it.sign_in(browser, "alice")
        theirs, first = await it.socket(stack, browser)
        assert first["issuer"] == it.idp.issuer
        ended = await called("DELETE", f"{it.at.http}/auth/sessions", own["access_token"], None)
        assert ended.status_code == 204
        await theirs.send("still here")
        assert await theirs.recv() == "still here"
        assert (await it.me(browser))["subject"] == "alice"
        foreign = await called("DELETE", f"{it.at.http}/auth/sessions/{first['session_id']}", own["access_token"], None)
        assert foreign.status_code == 401
        mine = (await it.at.login("alice", password))["access_token"]
        foreign = await called("DELETE", f"{it.at.http}/auth/sessions/{first['session_id']}", mine, None)
        assert foreign.status_code == 404
        done = await it.at.command("sessions", "revoke", "--subject", "alice", "--issuer", it.idp.issuer)
        assert done.status == 0, done.err
        assert await closed(theirs) == "3000 session_revoked"
        assert (await browser.get(f"{it.at.http}/auth/me")).status_code == 401
        assert (await called("GET", f"{it.at.http}/auth/me", mine, None)).status_code == 200
        # Whoever signs in after that is in at once.
        await it.sign_in(browser, "alice")
        assert (await it.me(browser))["subject"] == "alice"
        assert not await _is_admin(it, browser)


async def _is_admin(it: Site, browser: httpx2.AsyncClient) -> bool:
    """Tell whether the browser's cookie opens the admin API."""
    return (await browser.get(f"{it.at.admin}/admin/api/users")).status_code == 200


async def test_the_provider_is_asked_whether_the_login_stands(tmp_path: Path, node: Path) -> None:
    """By its refresh token: other roles reach an open socket, and whoever is gone there is out here."""
    async with (
        site(tmp_path, node, recheck="2s", access="4s") as it,
        new_browser() as browser,
        AsyncExitStack() as stack,
    ):
        await it.sign_in(browser, "alice")
        socket, first = await it.socket(stack, browser)
        assert first["expires_in"] == pytest.approx(2, abs=1)
        await it.idp.says("alice", ["staff", "boss"])
        assert (await it.change(browser, "/auth/refresh")).json()["roles"] == ["member", "owner"]
        told = await control(socket)
        while told["type"] != "auth_changed":
            told = await control(socket)
        assert told["roles"] == ["member", "owner"]
        for _ in range(3):  # each use of a refresh token makes it useless there, and brings the next one
            assert (await it.change(browser, "/auth/refresh")).status_code == 200
        await it.idp.says("alice", None)
        gone = await it.change(browser, "/auth/refresh")
        assert (gone.status_code, gone.json()["code"]) == (401, "session_revoked")
        assert await closed(socket) == "3000 session_revoked"
        ended = await it.at.command("audit", "list", "--json")
        assert '"sess_ended"' in ended.out


async def test_nobody_is_in_for_longer_than_the_provider_answers(tmp_path: Path, node: Path) -> None:
    """It hangs: an open socket lives to its lease's end, and the session waits for the provider to be back."""
    async with (
        site(tmp_path, node, recheck="3s", access="3s") as it,
        new_browser() as browser,
        AsyncExitStack() as stack,
    ):
        await it.sign_in(browser, "alice")
        socket, _ = await it.socket(stack, browser)
        with it.idp.frozen():
            await socket.send("still here")
            assert await socket.recv() == "still here"
            assert await closed(socket) == "3000 token_expired"
            late = await browser.get(f"{it.at.http}/auth/me")
            assert (late.status_code, late.json()["code"]) == (503, "unavailable")
            assert int(late.headers["retry-after"]) >= 1
        assert (await it.me(browser))["subject"] == "alice"
        assert await it.socket(stack, browser)


async def test_whoever_cannot_sign_in_is_told_why(tmp_path: Path, node: Path) -> None:
    """The provider is not there: a browser gets a page with a way to try again, a program a problem; nothing is set."""
    config = CONFIG.format(
        page=PAGE, access="5m", issuer=f"http://127.0.0.1:{oidc.free_port()}", audience="x", secret="s", recheck="5m",
        scopes='["openid"]',
    )  # fmt: skip
    async with serving(tmp_path, config=config) as at, new_browser() as browser:
        start = f"{at.http}/auth/oauth/idp/start"
        page = await browser.get(start, headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert 'href="/auth/oauth/idp/start"' in page.text
        assert (await browser.get(f"{at.http}/auth/oauth/style.css")).status_code == 200
        problem = await browser.get(start)
        assert (problem.status_code, problem.json()["code"]) == (503, "unavailable")
        assert (await browser.get(f"{at.http}/auth/oauth/nobody/start")).status_code == 404
        assert not browser.cookies
