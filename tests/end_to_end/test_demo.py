"""The demo, as two people see it: Chromium windows with cookies of their own, each signed in as somebody."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, Page, expect

from tests.leaks import keep, secret
from tests.lifeline import hold, release
from tests.wsauth_server import WSAUTH

PATIENCE = 15.0  # seconds
LEASE = 14  # seconds
ID = re.compile(r"^[a-z2-9]{12}$")
COMMAND = (str(WSAUTH), "demo", "--port")
ADDRESS = r"wsauth demo: (http://127\.0\.0\.1:\d+)$"


@dataclass
class Demo:
    """Be the demo as its terminal shows it."""

    process: Process
    url: str = ""
    passwords: dict[str, str] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    async def read(self) -> None:
        """Keep what it writes."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.written.append(line.decode())

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait until something was written."""
        async with asyncio.timeout(PATIENCE):
            while (found := re.search(pattern, "".join(self.written), re.MULTILINE)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # a pipe that another task reads sets no event
        return found

    async def ready(self) -> None:
        """Wait until it says where it is, and for whom."""
        self.url = (await self.until(ADDRESS))[1]
        for name in ("alice", "bob"):
            self.passwords[name] = (await self.until(rf"^    {name} +(\S+)"))[1]


@asynccontextmanager
async def started(*command: str, folder: Path) -> AsyncGenerator[Demo]:
    """Run the demo, with its temporary files in a folder, and stop it if the block did not."""
    environ = os.environ | {"TMPDIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=STDOUT, env=environ, start_new_session=True
    )
    hold(process.pid)
    demo = Demo(process)
    reader = asyncio.create_task(demo.read())
    try:
        yield demo
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        release(process.pid)
        await reader
        keep("the demo", "".join(demo.written))


def leased(seconds: float) -> tuple[str, ...]:
    """Return a command that runs the demo with such leases; who watches a page can wait longer than a test."""
    return (sys.executable, "-c", f"import sys; from wsauth.demo import run; sys.exit(run(0, {seconds}))")


@pytest.fixture(scope="module")
async def demo(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Demo]:
    """Run the demo on a free port and read what it prints."""
    async with started(*leased(LEASE), folder=tmp_path_factory.mktemp("demo")) as running:
        await running.ready()
        yield running


@asynccontextmanager
async def tab(browser: Browser, demo: Demo, name: str) -> AsyncGenerator[Page]:
    """Sign in as somebody; at the end the console must be empty, so that no policy was violated."""
    context = await browser.new_context()
    page = await context.new_page()
    console: list[str] = []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    try:
        await page.goto(demo.url)
        await sign_in(page, demo, name)
        await expect(page.locator("#state")).to_have_text("open")
        yield page
        assert [line for line in console if "status of 40" not in line] == []
    finally:
        await context.close()


async def sign_in(page: Page, demo: Demo, name: str) -> None:
    """Fill in the form."""
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(demo.passwords[name])
    await page.get_by_role("button", name="Sign in").click()


async def test_a_wrong_password_is_refused(chromium_browser: Browser, demo: Demo) -> None:
    """Mallory guesses, is told so, and stays outside."""
    page = await chromium_browser.new_page()
    await page.goto(demo.url)
    await page.get_by_label("Name").fill("mallory")
    await page.get_by_label("Password").fill("guess")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
    await expect(page.locator("#desk")).to_be_hidden()
    await page.close()


async def test_the_lease_runs_down_and_is_renewed(chromium_browser: Browser, demo: Demo) -> None:
    """The seconds go down until the page refreshes the session, and the open socket has a new lease."""
    async with tab(chromium_browser, demo, "bob") as page:
        await expect(page.locator("#who")).to_have_text("bob")
        await expect(page.locator("#events")).to_contain_text("Connected as bob")
        await expect(page.locator("#seconds")).to_have_text(re.compile(r"^[5-9]$"))
        await expect(page.locator("#events")).to_contain_text("Renewed on the open socket", timeout=PATIENCE * 1000)
        await expect(page.locator("#events")).to_contain_text("Refreshed the session over HTTP")
        await expect(page.locator("#seconds")).to_have_text(re.compile(r"^1[1-4]$"))
        await expect(page.locator("#events")).not_to_contain_text("Closed")


async def test_a_click_renews(chromium_browser: Browser, demo: Demo) -> None:
    """A refresh that Bob asks for reaches the open socket before its lease ends."""
    async with tab(chromium_browser, demo, "bob") as page:
        await page.get_by_text("Refresh by itself").click()
        await page.get_by_role("button", name="Refresh now").click()
        await expect(page.locator("#events")).to_contain_text("Renewed on the open socket", timeout=PATIENCE * 1000)
        await expect(page.locator("#events")).not_to_contain_text("Refused")


async def test_a_page_that_is_loaded_anew_is_still_signed_in(chromium_browser: Browser, demo: Demo) -> None:
    """Bob's login is in the cookie, so it outlives the page; no script can read it, and it ends when he signs out."""
    async with tab(chromium_browser, demo, "bob") as page:
        cookies = await page.context.cookies()
        assert [(each.get("name"), each.get("httpOnly"), each.get("sameSite")) for each in cookies] == [
            ("wsauth", True, "Lax"),
            ("wsauth-device", True, "Lax"),
        ]
        await page.reload()
        await expect(page.locator("#state")).to_have_text("open")
        await expect(page.locator("#who")).to_have_text("bob")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.locator("#login")).to_be_visible()
        assert [each.get("name") for each in await page.context.cookies()] == ["wsauth-device"]
        await sign_in(page, demo, "bob")
        await expect(page.locator("#state")).to_have_text("open")


async def test_a_bad_token_is_explained(chromium_browser: Browser, demo: Demo) -> None:
    """The refusal of a forged token has code, reason, action and id, and the terminal knows the id."""
    async with tab(chromium_browser, demo, "bob") as page:
        await page.get_by_role("button", name="Try a bad token").click()
        await expect(page.locator("#refusal-code")).to_have_text("token_invalid")
        await expect(page.locator("#refusal-action")).to_have_text("login")
        await expect(page.locator("#refusal-id")).to_have_text(ID)
        refusal_id = await page.locator("#refusal-id").inner_text()
        await demo.until(rf"token_invalid.*id={refusal_id}")
        await expect(page.locator("#state")).to_have_text("open")


async def test_two_windows_talk(chromium_browser: Browser, demo: Demo) -> None:
    """What one says appears in both windows, as text and never as markup."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await bob.get_by_label("Message").fill("<b>hello</b>")
        await bob.get_by_role("button", name="Send").click()
        for page in (alice, bob):
            await expect(page.locator("#chat li")).to_have_text("bob<b>hello</b>")


async def test_bob_ends_his_other_sessions(chromium_browser: Browser, tmp_path: Path) -> None:
    """Bob's other window, at the address with cookies of its own, is outside at once and says why; this one stays."""
    async with started(*COMMAND, "0", folder=tmp_path) as demo:
        await demo.ready()
        async with tab(chromium_browser, demo, "bob") as here:
            end = here.get_by_role("button", name="End my other sessions")
            await expect(here.locator("#sessions li")).to_have_count(1)
            await expect(end).to_be_hidden()
            async with here.context.expect_page() as opened:
                await here.get_by_role("link", name="http://localhost").click()
            there = await opened.value
            await sign_in(there, demo, "bob")
            await expect(there.locator("#state")).to_have_text("open")
            await end.click()
            alert = there.get_by_role("alert")
            await expect(alert).to_have_text("Your session has ended (session_revoked). Sign in again.")
            await expect(here.locator("#events")).to_contain_text("Ended 1 other session")
            await expect(here.locator("#sessions li")).to_have_count(1)
            await expect(here.locator("#state")).to_have_text("open")


async def test_bob_is_disconnected_and_comes_back(chromium_browser: Browser, demo: Demo) -> None:
    """Alice disconnects Bob, who sees when he may come back, and comes back by himself."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await expect(bob.get_by_role("button", name="Disconnect")).to_have_count(0)
        await alice.get_by_role("button", name="Disconnect").click()
        await expect(alice.locator("#events")).to_contain_text("Disconnected bob: 1 connection closed.")
        await expect(bob.locator("#state")).to_have_text(re.compile(r"^back in \d s$"))
        await expect(bob.locator("#events")).to_contain_text("Closed with 1013")
        await expect(bob.locator("#state")).to_have_text("open", timeout=PATIENCE * 1000)


async def test_bob_becomes_a_reader(chromium_browser: Browser, demo: Demo) -> None:
    """Alice makes Bob a reader: his open socket is told, and from then on what he says is refused."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await alice.get_by_role("button", name="Make reader").click()
        await expect(bob.locator("#events")).to_contain_text("Your rights have changed: as reader you may chat:read.")
        await bob.get_by_label("Message").fill("hello")
        await bob.get_by_role("button", name="Send").click()
        await expect(bob.locator("#refusal-code")).to_have_text("permission_denied")
        await alice.get_by_role("button", name="Make member").click()
        await expect(bob.locator("#events")).to_contain_text("as member you may chat:read, chat:send.")
        await bob.get_by_label("Message").fill("hello again")
        await bob.get_by_role("button", name="Send").click()
        await expect(alice.locator("#chat li")).to_have_text("bobhello again")


async def test_bob_is_revoked_and_signs_in_again(chromium_browser: Browser, demo: Demo) -> None:
    """Alice revokes Bob: he is outside at once and is told why, and a new login is good."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await alice.get_by_role("button", name="Revoke").click()
        await expect(alice.locator("#events")).to_contain_text("Revoked bob: 1 connection closed.")
        await expect(bob.get_by_role("alert")).to_contain_text("Your session has ended (session_revoked).")
        await expect(bob.locator("#desk")).to_be_hidden()
        await sign_in(bob, demo, "bob")
        await expect(bob.locator("#state")).to_have_text("open")


async def test_a_lease_that_nobody_renews_ends(chromium_browser: Browser, demo: Demo) -> None:
    """With the switch off the lease ends: stale, ten seconds of grace in which the switch saves it."""
    async with tab(chromium_browser, demo, "bob") as page:
        await page.get_by_text("Refresh by itself").click()
        await expect(page.locator("#state")).to_have_text("stale", timeout=(LEASE + PATIENCE) * 1000)
        await expect(page.locator("#seconds")).to_have_text("0")
        await page.get_by_text("Refresh by itself").click()
        await expect(page.locator("#state")).to_have_text("open")


async def test_the_keyboard_is_enough(chromium_browser: Browser, demo: Demo) -> None:
    """Bob signs in, speaks and switches the refresh off without a mouse, on a page as wide as a telephone."""
    context = await chromium_browser.new_context(viewport={"width": 360, "height": 740})
    page = await context.new_page()
    await page.goto(demo.url)
    await page.get_by_label("Name").focus()
    for key in ("bob", "Tab", demo.passwords["bob"], "Enter"):
        await (page.keyboard.press(key) if key in ("Tab", "Enter") else page.keyboard.type(key))
    await expect(page.locator("#state")).to_have_text("open")
    await page.get_by_label("Refresh by itself").focus()
    await page.keyboard.press("Space")
    await expect(page.get_by_label("Refresh by itself")).not_to_be_checked()
    await page.get_by_label("Message").focus()
    await page.keyboard.type("hello")
    await page.keyboard.press("Enter")
    await expect(page.locator("#chat li")).to_have_text("bobhello")
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    await context.close()


async def test_members_may_not_give_orders(demo: Demo) -> None:
    """Bob's token opens no order over HTTP, without one there is 401, and a cookie needs the page's proof."""
    async with httpx2.AsyncClient(base_url=demo.url, headers={"Origin": demo.url}) as client:
        body = {"username": "bob", "password": demo.passwords["bob"]}
        token = (await client.post("/auth/login", json=body)).json()["access_token"]
        secret(token, "Bob's access token")
        orders = [("POST", "disconnect", None), ("POST", "revoke", None), ("PUT", "role", {"role": "reader"})]
        for method, order, wish in orders:
            path = f"/people/alice/{order}"
            denied = await client.request(method, path, json=wish, headers={"Authorization": f"Bearer {token}"})
            assert (denied.status_code, denied.json()["code"]) == (403, "permission_denied")
            assert (await client.request(method, path, json=wish)).status_code == 401
        await client.post("/auth/login", json={**body, "cookie": True})
        assert (await client.post("/people/alice/revoke")).json()["code"] == "csrf_failed"


async def test_the_page_runs_nothing_of_others(demo: Demo) -> None:
    """Its policy allows its own files only, and another host's name gets no page."""
    async with httpx2.AsyncClient(base_url=demo.url) as client:
        answer = await client.get("/")
        assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert (await client.get("/", headers={"Host": "mallory.example"})).status_code == 421


@pytest.mark.parametrize("presses", [1, 2])
async def test_ctrl_c_stops_it_and_leaves_nothing(tmp_path: Path, presses: int) -> None:
    """SIGINT, also twice, ends it without a traceback, and its store and key are gone."""
    async with started(*COMMAND, "0", folder=tmp_path) as demo:
        url = (await demo.until(ADDRESS))[1]
        assert [each.name for folder in tmp_path.iterdir() for each in folder.glob("*.key")] == ["demo.key"]
        async with httpx2.AsyncClient() as client:
            assert (await client.get(url)).status_code == 200
        for _ in range(presses):
            demo.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert await demo.process.wait() in ((0,) if presses == 1 else (0, 128 + signal.SIGINT))
    assert "Traceback" not in "".join(demo.written)
    assert list(tmp_path.iterdir()) == []


async def test_a_taken_port_is_said_in_one_line(demo: Demo, tmp_path: Path) -> None:
    """A port that was asked for and is taken ends it with status 2 and the reason, and without files."""
    port = demo.url.rpartition(":")[2]
    async with started(*COMMAND, str(port), folder=tmp_path) as second:
        async with asyncio.timeout(PATIENCE):
            assert await second.process.wait() == 2
    assert len(second.written) == 1
    assert f"127.0.0.1:{port} is taken" in second.written[0]
    assert list(tmp_path.iterdir()) == []


async def test_a_lease_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    """A lease of a second ends it with status 2 and what can be."""
    async with started(*leased(1), folder=tmp_path) as demo:
        async with asyncio.timeout(PATIENCE):
            assert await demo.process.wait() == 2
    assert demo.written == ["wsauth: a lease of 1 s: write 10 to 3600 seconds\n"]
