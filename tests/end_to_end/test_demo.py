"""The demo, as two people see it: two tabs in Chromium, each signed in as somebody else."""

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx2
import pytest
from playwright.async_api import Browser, Page, expect

from tests.leaks import keep
from tests.lifeline import hold, release

PATIENCE = 15.0  # seconds
LEASE = 14  # seconds
ID = re.compile(r"^[a-z2-9]{12}$")


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


@asynccontextmanager
async def started(*arguments: str) -> AsyncGenerator[Demo]:
    """Run the demo, and stop it if the block did not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wsauth.demo", *arguments, stdout=PIPE, stderr=STDOUT, start_new_session=True
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


@pytest.fixture(scope="module")
async def demo(anyio_backend: str) -> AsyncGenerator[Demo]:
    """Run the demo on a free port and read what it prints."""
    async with started("--port", "0", "--lease", str(LEASE)) as running:
        running.url = (await running.until(r"wsauth demo: (http://127\.0\.0\.1:\d+)$"))[1]
        for name in ("alice", "bob"):
            running.passwords[name] = (await running.until(rf"^    {name} +(\S+)"))[1]
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
    """The seconds go down until a newer token brings a new lease on the open socket, by itself."""
    async with tab(chromium_browser, demo, "bob") as page:
        await expect(page.locator("#who")).to_have_text("bob")
        await expect(page.locator("#events")).to_contain_text("Connected as bob")
        await expect(page.locator("#seconds")).to_have_text(re.compile(r"^[5-9]$"))
        await expect(page.locator("#events")).to_contain_text("Renewed on the open socket", timeout=PATIENCE * 1000)
        await expect(page.locator("#seconds")).to_have_text(re.compile(r"^1[1-4]$"))
        await expect(page.locator("#events")).not_to_contain_text("Closed")


async def test_a_click_renews(chromium_browser: Browser, demo: Demo) -> None:
    """A renewal that somebody asks for comes at the latest when wsauth takes the next one, ten seconds on."""
    async with tab(chromium_browser, demo, "bob") as page:
        await page.get_by_text("Renew by itself").click()
        await page.get_by_role("button", name="Renew now").click()
        await expect(page.locator("#events")).to_contain_text("Renewed on the open socket", timeout=PATIENCE * 1000)


async def test_a_bad_token_is_explained(chromium_browser: Browser, demo: Demo) -> None:
    """The refusal of a forged token has code, reason, action and id, and the terminal knows the id."""
    async with tab(chromium_browser, demo, "bob") as page:
        await page.get_by_role("button", name="Try a bad token").click()
        await expect(page.locator("#refusal-code")).to_have_text("token_invalid")
        await expect(page.locator("#refusal-reason")).to_have_text("Token is invalid")
        await expect(page.locator("#refusal-action")).to_have_text("login")
        await expect(page.locator("#refusal-id")).to_have_text(ID)
        refusal_id = await page.locator("#refusal-id").inner_text()
        await demo.until(rf"token_invalid.*id={refusal_id}")
        await expect(page.locator("#state")).to_have_text("open")


async def test_two_tabs_talk(chromium_browser: Browser, demo: Demo) -> None:
    """What one says appears in both tabs, as text and never as markup."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await bob.get_by_label("Message").fill("<b>hello</b>")
        await bob.get_by_role("button", name="Send").click()
        for page in (alice, bob):
            await expect(page.locator("#chat li")).to_have_text("bob<b>hello</b>")


async def test_bob_is_disconnected_and_comes_back(chromium_browser: Browser, demo: Demo) -> None:
    """Alice disconnects Bob, who sees when he may come back, and comes back by himself."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await expect(bob.get_by_role("button", name="Disconnect")).to_have_count(0)
        await alice.get_by_role("button", name="Disconnect").click()
        await expect(alice.locator("#events")).to_contain_text("Disconnected bob: 1 connection closed.")
        await expect(bob.locator("#state")).to_have_text(re.compile(r"^back in \d s$"))
        await expect(bob.locator("#events")).to_contain_text("Closed with 1013")
        await expect(bob.locator("#state")).to_have_text("open", timeout=PATIENCE * 1000)


async def test_bob_is_revoked_and_signs_in_again(chromium_browser: Browser, demo: Demo) -> None:
    """Alice revokes Bob: he is outside at once and is told why, and a new login is good."""
    async with tab(chromium_browser, demo, "alice") as alice, tab(chromium_browser, demo, "bob") as bob:
        await alice.get_by_role("button", name="Revoke").click()
        await expect(alice.locator("#events")).to_contain_text("Revoked bob: 1 connection closed.")
        await expect(bob.get_by_role("alert")).to_contain_text("You were revoked")
        await expect(bob.locator("#desk")).to_be_hidden()
        await sign_in(bob, demo, "bob")
        await expect(bob.locator("#state")).to_have_text("open")


async def test_a_lease_that_nobody_renews_ends(chromium_browser: Browser, demo: Demo) -> None:
    """With the switch off the lease ends: stale, ten seconds of grace in which the switch saves it."""
    async with tab(chromium_browser, demo, "bob") as page:
        await page.get_by_text("Renew by itself").click()
        await expect(page.locator("#state")).to_have_text("stale", timeout=(LEASE + PATIENCE) * 1000)
        await expect(page.locator("#seconds")).to_have_text("0")
        await page.get_by_text("Renew by itself").click()
        await expect(page.locator("#state")).to_have_text("open")


async def test_members_may_not_give_orders(demo: Demo) -> None:
    """Bob's token opens no order over HTTP, and without one there is 401."""
    async with httpx2.AsyncClient(base_url=demo.url) as client:
        login = (await client.post("/login", json={"username": "bob", "password": demo.passwords["bob"]})).json()
        token = (await client.post("/token", json={"renewal": login["renewal"]})).json()["access_token"]
        for order in ("disconnect", "revoke"):
            path = f"/people/alice/{order}"
            assert (await client.post(path, headers={"Authorization": f"Bearer {token}"})).status_code == 403
            assert (await client.post(path)).status_code == 401


async def test_the_page_runs_nothing_of_others(demo: Demo) -> None:
    """Its policy allows its own files only, and another host's name gets no page."""
    async with httpx2.AsyncClient(base_url=demo.url) as client:
        answer = await client.get("/")
        assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert (await client.get("/", headers={"Host": "mallory.example"})).status_code == 400


async def test_ctrl_c_stops_it_cleanly() -> None:
    """SIGINT ends it with status 0 and without a traceback."""
    async with started("--port", "0") as demo:
        url = (await demo.until(r"wsauth demo: (http://127\.0\.0\.1:\d+)$"))[1]
        async with httpx2.AsyncClient() as client:  # an answer says that nobody ignores SIGINT any longer
            assert (await client.get(url)).status_code == 200
        demo.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            assert await demo.process.wait() == 0
    assert "Traceback" not in "".join(demo.written)


async def test_a_taken_port_is_said_in_one_line(demo: Demo) -> None:
    """A port that was asked for and is taken ends it with status 2 and the reason."""
    port = demo.url.rpartition(":")[2]
    async with started("--port", port) as second:
        async with asyncio.timeout(PATIENCE):
            assert await second.process.wait() == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in second.written[-1]
