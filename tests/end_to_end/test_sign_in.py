"""Signing in with a provider, at the real server: oidc-provider from npm, its own pages, and who comes back from it."""

import asyncio
import json
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.async_api import Browser, expect
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from tests.end_to_end import oidc
from tests.end_to_end.administering import closed, control
from tests.end_to_end.browser import FILES, tab
from tests.end_to_end.browser import site as pages
from tests.issuing import provider
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
            origin=Origin(PAGE),
            subprotocols=["wsauth.v1"],  # type: ignore[list-item]  # a NewType of the library's
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
    folder: Path, node: Path, *, recheck: str = "5m", access: str = "5m", page: str = PAGE
) -> AsyncGenerator[Site]:
    """Run both."""
    port, ours = oidc.free_port(), oidc.free_port()
    here = f"http://127.0.0.1:{ours}"
    async with oidc.running(node, port, f"{here}/auth/oauth/idp/backchannel-logout", here) as idp:
        config = CONFIG.format(
            page=page,
            access=access,
            issuer=idp.issuer,
            audience=oidc.SIGNED,
            secret=oidc.WEB[1],
            scopes=json.dumps(["openid", "roles", "offline_access"]),
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
        assert "wsauth-sign-ins" not in browser.cookies
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
        await asyncio.sleep(1.1)  # half a recheck: so long the last yes is enough
        assert (await it.change(browser, "/auth/refresh")).json()["roles"] == ["member", "owner"]
        told = await control(socket)
        while told["type"] != "auth_changed":
            told = await control(socket)
        assert told["roles"] == ["member", "owner"]
        for _ in range(3):  # each use of a refresh token makes it useless there, and brings the next one
            await asyncio.sleep(1.1)
            assert (await it.change(browser, "/auth/refresh")).status_code == 200
        await it.idp.says("alice", None)
        await asyncio.sleep(1.1)
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
        csrf = str((await it.me(browser))["csrf_token"])
        with it.idp.frozen():
            await asyncio.sleep(3.1)
            headers = {"Origin": PAGE, "X-CSRF-Token": csrf}
            later = await browser.post(f"{it.at.http}/auth/ticket", headers=headers, json={})
            assert (later.status_code, later.json()["code"]) == (503, "unavailable")
            # Whoever wants out is not kept in.
            assert (await browser.post(f"{it.at.http}/auth/logout", headers=headers)).status_code == 204
        assert (await it.at.command("sessions", "list", "--json")).json() == []


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


async def test_a_log_out_at_the_provider_ends_that_login(tmp_path: Path, node: Path) -> None:
    """Two logins of hers: she logs out with one browser on the provider's page, and only what began there ends."""
    async with site(tmp_path, node) as it, AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(new_browser()) for _ in range(2)]
        await it.sign_in(one, "alice")
        await it.sign_in(two, "alice")
        first, told = await it.socket(stack, one)
        second, _ = await it.socket(stack, two)
        await it.idp.log_out(one)
        assert await closed(first) == "3000 session_revoked"
        assert (await one.get(f"{it.at.http}/auth/me")).status_code == 401
        await second.send("still here")
        assert await second.recv() == "still here"
        entries = (await it.at.command("audit", "list", "--json", "--event", "authn_token_revoked")).out
        assert json.loads(entries)["issuer"] == it.idp.issuer
        assert str(told["session_id"]) not in (await it.at.command("sessions", "list", "--json")).out


async def test_a_log_out_here_may_go_on_there(tmp_path: Path, node: Path) -> None:
    """RP-initiated: the socket is closed at once, and the page is told where to end the provider's session too."""
    async with site(tmp_path, node) as it, new_browser() as browser, AsyncExitStack() as stack:
        await it.sign_in(browser, "alice")
        socket, _ = await it.socket(stack, browser)
        elsewhere = await it.change(browser, "/auth/logout", {"return_to": "https://evil.example"})
        assert elsewhere.status_code == 400
        done = await it.change(browser, "/auth/logout", {"return_to": "/bye"})
        assert done.status_code == 200
        assert await closed(socket) == "3000 session_revoked"
        assert "wsauth" not in browser.cookies
        url = done.json()["logout_url"]
        assert url.startswith(f"{it.idp.issuer}/session/end?")
        assert "id_token_hint" not in url
        page = (await browser.get(url)).text
        proof = re.search(r'name="xsrf" value="(\w+)"', page)
        assert proof is not None, page
        left = await browser.post(f"{it.idp.issuer}/session/end/confirm", data={"xsrf": proof[1], "logout": "yes"})
        assert left.headers["location"] == f"{it.at.http}/bye"
        # Our own user has no provider, and without a body the answer stays what it was.
        password = await it.at.add_user("bob", "a long walk on a short pier")
        for body, status in (({"return_to": "/"}, 200), (None, 204)):
            token = (await it.at.login("bob", password))["access_token"]
            answer = await called("POST", f"{it.at.http}/auth/logout", token, body)
            assert answer.status_code == status
            assert status == 204 or answer.json() == {"logout_url": None}


async def test_opaque_tokens_and_a_sign_in_of_one_provider(tmp_path: Path, node: Path) -> None:
    """Kind "introspection" may sign people in too; the identity is the one of its tokens."""
    port, ours = oidc.free_port(), oidc.free_port()
    async with oidc.running(node, port, "", f"http://127.0.0.1:{ours}") as idp, new_browser() as browser:
        config = f"""
[server]
origins = ["{PAGE}"]
[[routes]]
path = "/ws"
upstream = "echo"
[[issuers]]
name = "idp"
kind = "introspection"
issuer = "{idp.issuer}"
audience = "{oidc.OPAQUE}"
url = "{idp.issuer}/token/introspection"
client_id = "web"
client_secret = "{oidc.WEB[1]}"
sign_in = true
scopes = ["openid"]
"""
        async with serving(tmp_path, "--port", str(ours), config=config) as at:
            it = Site(idp, at)
            await it.sign_in(browser, "alice")
            me = await it.me(browser)
            token = await idp.token("alice", oidc.OPAQUE)
            same = (await called("GET", f"{at.http}/auth/me", token, None)).json()
            assert (me["issuer"], me["subject"]) == (same["issuer"], same["subject"])


@pytest.mark.parametrize("integer", [False, True])
async def test_oauth_2_without_openid(tmp_path: Path, integer: bool) -> None:
    """By configured endpoints, as GitHub has them: its userinfo says who it is, a number is a subject too."""
    async with provider() as theirs, new_browser() as browser:
        subject: object = 583231 if integer else "octocat"
        theirs.answers["/token"] = {"access_token": "gho_x", "token_type": "bearer", "scope": "read:user"}
        theirs.answers["/user"] = {"id": subject, "login": "octocat", "type": "User"}
        config = f"""
[server]
origins = ["{PAGE}"]
[roles]
member = ["chat:read"]
[[routes]]
path = "/ws"
upstream = "echo"
[[issuers]]
name = "github"
client_id = "web"
client_secret = "{oidc.WEB[1]}"
client_auth = "post"
authorization_url = "{theirs.url}/authorize"
token_url = "{theirs.url}/token"
userinfo_url = "{theirs.url}/user"
subject_claim = "id"
roles_claim = "type"
roles = {{User = "member"}}
scopes = ["read:user"]
"""
        async with serving(tmp_path, config=config) as at:
            begun = await browser.get(f"{at.http}/auth/oauth/github/start")
            sent = parse_qs(urlsplit(begun.headers["location"]).query)
            assert "nonce" not in sent
            done = await browser.get(
                f"{at.http}/auth/oauth/github/callback", params={"code": "c", "state": sent["state"][0]}
            )
            assert done.status_code == 303, done.text
            me = (await browser.get(f"{at.http}/auth/me")).json()
            assert (me["issuer"], me["subject"], me["roles"]) == ("github", str(subject), ["member"])
            assert "/.well-known/openid-configuration" not in theirs.asked
            head = theirs.requests[theirs.asked.index("/user")][0]
            assert "Authorization: Bearer gho_x" in head or "authorization: Bearer gho_x" in head
            theirs.answers["/token"] = {"error": "bad_verification_code"}
            begun = await browser.get(f"{at.http}/auth/oauth/github/start")
            state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
            no = await browser.get(f"{at.http}/auth/oauth/github/callback", params={"code": "c", "state": state})
            assert no.status_code == 400


OPEN = """url => new Promise(resolve => {
    const socket = window.socket = new WebSocket(url, ["wsauth.v1"]);
    window.said = [];
    socket.onmessage = event => { window.said.push(event.data); resolve(event.data); };
    socket.onclose = event => { window.ended = `${event.code} ${event.reason.split(";")[0]}`; resolve(window.ended); };
})"""


async def test_in_a_browser(tmp_path: Path, node: Path, chromium_browser: Browser) -> None:
    """Chromium goes through the provider's login and consent, comes back to the page, and its socket has the cookie.

    In another tab she logs out on the provider's page: the socket closes with the reason, and the page can sign in
    again.
    """
    async with pages() as page_at, site(tmp_path, node, page=page_at) as it:
        context = await chromium_browser.new_context()
        async with tab(context, page_at) as app:
            page, socket = app.page, f"{it.at.ws}/ws"
            assert json.loads(await app.run(OPEN, socket))["type"] == "auth_required"
            await page.goto(f"{it.at.http}/auth/oauth/idp/start?return_to={page_at}/")
            await page.fill('input[name="login"]', "alice")
            await page.fill('input[name="password"]', "any")
            await page.click('button[type="submit"]')
            await page.click('button[type="submit"]')
            await page.wait_for_url(f"{page_at}/")
            told = json.loads(await app.run(OPEN, socket))
            assert (told["type"], told["issuer"], told["subject"]) == ("auth_success", it.idp.issuer, "alice")
            # No script can read what the session is in.
            assert "wsauth" not in await app.run("document.cookie")
            other = await context.new_page()
            await other.goto(f"{it.idp.issuer}/session/end")
            await other.click('button[name="logout"]')
            assert await app.until("() => window.ended") == "3000 session_revoked"
            await page.goto(f"{it.at.http}/auth/oauth/idp/callback?code=x&state=y")
            await expect(page.locator("h1")).to_have_text("Signing in failed")
            await page.click("a")
            await page.wait_for_selector('input[name="login"]')


async def test_the_page_of_the_documentation_gets_its_tokens(
    tmp_path: Path, node: Path, chromium_browser: Browser
) -> None:
    """The snippet of docs/how-to/sign-in.md, as it stands there, but for the names."""
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "sign-in.md").read_text()
    found = re.search(r"```javascript\n(.*?)```", text, re.DOTALL)
    assert found is not None
    before, after = found[1].split("// At https://app.example.com/signed-in?code=…\n")
    encode = after[after.index("function encode") :]
    async with pages({"/": FILES["/"], "/signed-in": FILES["/"]}) as page_at, site(tmp_path, node, page=page_at) as it:

        def hosts(script: str) -> str:
            script = script.replace("https://chat.example.com", it.at.http).replace("/sso/", "/idp/")
            return f"async () => {{ {script.replace('https://app.example.com', page_at)} }}"

        context = await chromium_browser.new_context()
        async with tab(context, page_at) as app:
            await app.run(hosts(before + encode))
            await app.page.fill('input[name="login"]', "alice")
            await app.page.fill('input[name="password"]', "any")
            await app.page.click('button[type="submit"]')
            await app.page.click('button[type="submit"]')
            await app.page.wait_for_url(f"{page_at}/signed-in?code=*")
            token = await app.run(hosts(after.replace("function encode", "return access_token;\nfunction encode")))
            assert (await called("GET", f"{it.at.http}/auth/me", token, None)).json()["subject"] == "alice"
            assert "wsauth" not in {cookie["name"] for cookie in await context.cookies(it.at.http)}
