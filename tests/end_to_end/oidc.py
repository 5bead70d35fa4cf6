"""The npm package oidc-provider, a certified OpenID provider, and a user who logs in at it."""

import asyncio
import json
import os
import re
import secrets
import signal
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.end_to_end.node import FOLDER, PATIENCE
from tests.leaks import secret
from tests.lifeline import hold, release

APP = ("app", secret("the secret of the app", "the secret of another client"))
WEB = ("web", secret("the secret of the web client", "our client_secret"))
OURS = ("wsauth", secret("the secret: of wsauth", "our client_secret"))
OURS_BY_POST = ("wsauth-post", secret("another secret of wsauth", "our client_secret"))
OPAQUE, SIGNED = "https://chat.example/opaque", "https://chat.example/signed"


@dataclass
class Provider:
    """Be a provider that runs.

    Attributes:
        issuer: its issuer, and where it is.
        id_token: of the last sign-in.
        pid: of its process.
    """

    issuer: str
    id_token: str = ""
    pid: int = 0

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it answer nobody for a while; it forgets nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    async def token(self, subject: str, resource: str) -> str:
        """Have a user log in on the provider's own pages and agree, and return the access token that comes of it."""
        async with httpx2.AsyncClient(base_url=self.issuer, trust_env=False) as browser:
            return await self.sign_in(browser, subject, resource)

    async def through(self, browser: httpx2.AsyncClient, url: str, subject: str) -> str:
        """Have a user log in and agree on the provider's own pages, and return where the browser is sent then.

        Args:
            browser: stays logged in.
            url: of the authorization endpoint, with its query.
            subject: who logs in.
        """
        reply = await browser.get(url)
        while re.search(r"/interaction/[\w-]+\Z", page := reply.headers["location"]):
            form = re.search(r'name="prompt" value="(\w+)"', (await browser.get(f"{self.issuer}{page}")).text)
            assert form is not None, page
            reply = await browser.post(
                f"{self.issuer}{page}", data={"prompt": form[1], "login": subject, "password": "any"}
            )
            reply = await browser.get(reply.headers["location"])
        return str(reply.headers["location"])

    async def says(self, subject: str, roles: list[str] | None) -> None:
        """Have somebody have these roles from now on; `None`: be nobody any more."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            told = await http.post(f"{self.issuer}/test/roles/{subject}", content=json.dumps(roles))
        assert told.status_code == 200

    async def log_out(self, browser: httpx2.AsyncClient) -> None:
        """Have whoever is logged in with this browser log out on the provider's own page."""
        page = (await browser.get(f"{self.issuer}/session/end")).text
        proof = re.search(r'name="xsrf" value="(\w+)"', page)
        assert proof is not None, page
        reply = await browser.post(f"{self.issuer}/session/end/confirm", data={"xsrf": proof[1], "logout": "yes"})
        assert reply.status_code == 303, reply.text

    async def sign_in(self, browser: httpx2.AsyncClient, subject: str, resource: str) -> str:
        """Have a user log in with this browser, which stays logged in, and return the access token."""
        verifier = secrets.token_urlsafe(48)
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": APP[0], "response_type": "code", "redirect_uri": f"{self.issuer}/nowhere",
            "scope": "openid chat:read", "resource": resource, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        reply = await browser.get("/auth", params=asked)
        for prompt in ({"prompt": "login", "login": subject, "password": "any"}, {"prompt": "consent"}):
            page = reply.headers["location"]
            assert re.search(r"/interaction/[\w-]+\Z", page), page
            reply = await browser.post(page, data=prompt)
            reply = await browser.get(reply.headers["location"])
        code = parse_qs(urlsplit(reply.headers["location"]).query)["code"][0]
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": asked["redirect_uri"],
            "code_verifier": verifier, "resource": resource,
        }  # fmt: skip
        found = (await browser.post("/token", data=form, auth=APP)).json()
        self.id_token = secret(str(found["id_token"]), "an ID token")
        return secret(str(found["access_token"]), "an access token of the provider")

    async def client_token(self, resource: str) -> str:
        """Return the access token of a client that acts for itself (RFC 6749 section 4.4)."""
        form = {"grant_type": "client_credentials", "resource": resource, "scope": "chat:read"}
        async with httpx2.AsyncClient(trust_env=False) as http:
            found = (await http.post(f"{self.issuer}/token", data=form, auth=APP)).json()
        return secret(str(found["access_token"]), "an access token of the provider")

    async def revoke(self, token: str) -> None:
        """Revoke a token (RFC 7009)."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            reply = await http.post(f"{self.issuer}/token/revocation", data={"token": token}, auth=APP)
        assert reply.status_code == 200, reply.text


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(node: Path, port: int, logouts: str = "", relying: str = "") -> AsyncGenerator[Provider]:
    """Run the provider on a port; what it knows is in its memory and ends with it.

    Args:
        node: the executable.
        port: where.
        logouts: where it tells of log-outs; empty: nowhere.
        relying: the origin of a wsauth at which people sign in with it, as `idp`; empty: of none.
    """
    async with listening(node, "provider.mjs", str(port), logouts, relying, cwd=FOLDER) as pid:
        yield Provider(f"http://127.0.0.1:{port}", pid=pid)


@asynccontextmanager
async def listening(*command: str | Path, cwd: Path | None = None) -> AsyncGenerator[int]:
    """Run a program that writes `listening` when it is, and kill it at the end; its pid."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, start_new_session=True, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    hold(process.pid)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"listening\n"
        yield process.pid
    finally:
        process.kill()
        await process.wait()
        release(process.pid)
