"""A site behind a real proxy: its file from deploy/proxies, a tap to wsauth, an application that shows what it gets."""

import asyncio
import json
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Any

import h11
import trustme
import websockets
from websockets.typing import Origin

from tests.attacks.wire import PATIENCE, Answer, Wire
from tests.leaks import keep
from tests.lifeline import hold, release

__all__ = ["CLIENT", "FILES", "NAME", "Application", "Site", "Tap", "behind"]

FILES = Path(__file__).parents[2] / "deploy" / "proxies"
NAME = "chat.example.com"
"""The site in the files."""
CLIENT = "127.0.0.7"
"""Where the client is; the proxy is 127.0.0.1."""

_SHIPPED = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg"}
_COMMANDS = {
    "nginx": ("-p", ".", "-c", "main.conf", "-e", "stderr"),
    "caddy": ("run", "--config", "Caddyfile"),
    "haproxy": ("-db", "-f", "haproxy.cfg"),
}
_NGINX = """
daemon off; pid nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    include nginx.conf;
}
"""
"""What stands around the shipped file, as Debian's /etc/nginx/nginx.conf does, without paths that need root."""


@dataclass(frozen=True)
class Seen:
    """Hold one request that reached the application."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str

    def named(self, part: str) -> dict[str, str]:
        """Return the headers whose name, in any spelling, has this part in it."""
        return {name: value for name, value in self.headers if part in name.lower()}


@dataclass
class Application:
    """Be the application's HTTP: it answers with what it was asked.

    Attributes:
        seen: every request that reached it.
    """

    seen: list[Seen] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        http = h11.Connection(h11.SERVER)
        request, body = h11.Request(method="GET", target="/", headers=[("Host", NAME)]), b""
        with suppress(ConnectionError):
            while (event := http.next_event()) is not h11.PAUSED:
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(65_536))
                elif isinstance(event, h11.Request):
                    request, body = event, b""
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    writer.write(self._answer(http, request, body))
                    if http.our_state is not h11.DONE:
                        break
                    http.start_next_cycle()
                else:
                    break
        writer.close()

    def _answer(self, http: h11.Connection, request: h11.Request, body: bytes) -> bytes:
        pairs = [(name.decode(), value.decode("latin-1")) for name, value in request.headers.raw_items()]
        self.seen.append(Seen(request.method.decode(), request.target.decode(), pairs, body.decode()))
        text = json.dumps({"application": request.target.decode()}).encode()
        head = h11.Response(status_code=200, headers=[("Content-Length", str(len(text)))])
        return b"".join(http.send(each) or b"" for each in (head, h11.Data(data=text), h11.EndOfMessage()))


@dataclass
class Tap:
    """Stand between the proxy and wsauth, and keep what the proxy sends.

    Attributes:
        target: the port of wsauth.
        sent: the bytes of each connection.
        open: whether connections are taken.
    """

    target: int
    sent: list[bytearray] = field(default_factory=list)
    open: bool = True
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def heads(self, start: str) -> list[str]:
        """Return what followed each request line that starts so, to the end of that head."""
        said = b"".join(bytes(each) for each in self.sent).decode("latin-1")
        return [part.partition("\r\n\r\n")[0] for part in said.split(start)[1:]]

    def close(self) -> None:
        """Take wsauth away."""
        self.open = False
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if not self.open:
            writer.transport.abort()
            return
        there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers |= {writer, onward}
        kept = bytearray()
        self.sent.append(kept)
        await asyncio.gather(_pump(reader, onward, kept), _pump(there, writer, bytearray()))
        self._writers -= {writer, onward}


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: bytearray) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65_536):
            kept += data
            sink.write(data)
            await sink.drain()
    sink.close()


@dataclass(frozen=True)
class Site:
    """Be the site, for a client at 127.0.0.7.

    Attributes:
        proxy: its name.
        https: the port of the site.
        http: the port of the site in plain text.
        trust: for clients.
        application: behind the proxy.
        tap: before wsauth.
    """

    proxy: str
    https: int
    http: int
    trust: ssl.SSLContext
    application: Application
    tap: Tap

    @asynccontextmanager
    async def connection(self, *, plain: bool = False) -> AsyncGenerator[Wire]:
        """Connect."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1",
            self.http if plain else self.https,
            ssl=None if plain else self.trust,
            server_hostname=None if plain else NAME,
            local_addr=(CLIENT, 0),
        )
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, what: str, *lines: str, body: bytes = b"", plain: bool = False) -> Answer:
        """Return the answer to one request, `GET /path`, with these header lines."""
        async with self.connection(plain=plain) as wire:
            wire.send(head(what, *lines, *([f"Content-Length: {len(body)}"] if body else [])), body)
            return await wire.answer()

    async def call(self, what: str, body: Mapping[str, Any], *lines: str) -> tuple[Answer, Any]:
        """Send JSON, and return the answer and the JSON in it."""
        answer = await self.ask(what, "Content-Type: application/json", *lines, body=json.dumps(body).encode())
        return answer, json.loads(answer.body)

    def websocket(
        self, headers: Mapping[str, str], *, path: str = "/ws", origin: str | None = None
    ) -> websockets.connect:
        """Return a WebSocket to be."""
        return websockets.connect(
            f"wss://{NAME}{path}",
            host="127.0.0.1",
            port=self.https,
            ssl=self.trust,
            server_hostname=NAME,
            local_addr=(CLIENT, 0),
            origin=None if origin is None else Origin(origin),
            additional_headers=headers,
            proxy=None,
            open_timeout=PATIENCE,
        )


def head(what: str, *lines: str) -> bytes:
    """Return the head of a request to the site."""
    return "\r\n".join([f"{what} HTTP/1.1", f"Host: {NAME}", *lines, "", ""]).encode("latin-1")


@asynccontextmanager
async def behind(
    proxy: str, executable: Path, folder: Path, wsauth: int, changes: Mapping[str, str] = MappingProxyType({})
) -> AsyncGenerator[Site]:
    """Run a proxy with its shipped file in front of wsauth and an application.

    Args:
        proxy: nginx, caddy or haproxy.
        executable: the program.
        folder: for its files.
        wsauth: the port of the server, which trusts 127.0.0.1.
        changes: of the shipped file beside addresses, ports and paths: a regular expression, and what comes there.
    """
    application, tap = Application(), Tap(wsauth)
    async with (
        await asyncio.start_server(application.serve, "127.0.0.1", 0) as behind_it,
        await asyncio.start_server(tap.serve, "127.0.0.1", 0) as before_wsauth,
    ):
        https, http = _free_ports()
        authority = trustme.CA()
        authority.issue_cert(NAME).private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
        ports = {"8080": before_wsauth.sockets[0].getsockname()[1], "9000": behind_it.sockets[0].getsockname()[1]}
        addresses = {f"127.0.0.1:{here}": f"127.0.0.1:{port}" for here, port in ports.items()}
        text = (FILES / _SHIPPED[proxy]).read_text("utf-8")
        for pattern, new in changes.items():
            assert re.search(pattern, text), f"{_SHIPPED[proxy]} has no {pattern}"
            text = re.sub(pattern, new, text)
        (folder / _SHIPPED[proxy]).write_text(_here(proxy, text, folder, addresses, https=https, http=http), "utf-8")
        (folder / "main.conf").write_text(_NGINX, "utf-8")
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        async with _running(proxy, executable, folder, https):
            yield Site(proxy, https, http, trust, application, tap)


def _here(proxy: str, text: str, folder: Path, addresses: Mapping[str, str], *, https: int, http: int) -> str:
    """Return a shipped file with addresses, ports and paths of this machine, and with nothing else changed."""
    pem = str(folder / "site.pem")
    own = {
        "nginx": {
            "listen 80;": f"listen 127.0.0.1:{http};",
            "listen 443 ": f"listen 127.0.0.1:{https} ",
            "/etc/ssl/chat.example.com.pem": pem,
            "/etc/ssl/private/chat.example.com.key": pem,
        },
        "caddy": {
            "auto_https disable_redirects": "auto_https disable_redirects\n\tadmin off\n\tdefault_bind 127.0.0.1",
            "http://chat.example.com {": f"http://chat.example.com:{http} {{",
            "\nchat.example.com {": f"\nchat.example.com:{https} {{",
            "/etc/ssl/chat.example.com.pem": pem,
            "/etc/ssl/private/chat.example.com.key": pem,
        },
        "haproxy": {
            "bind :80\n": f"bind 127.0.0.1:{http}\n",
            "bind :443 ": f"bind 127.0.0.1:{https} ",
            "/etc/haproxy/chat.example.com.pem": pem,
            "/etc/haproxy/wsauth-verify.lua": str(FILES / "wsauth-verify.lua"),
        },
    }[proxy]
    for old, new in {**addresses, **own}.items():
        assert old in text or "lua" in old, f"{proxy}'s file has no {old!r}"
        text = text.replace(old, new)
    return text


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


@asynccontextmanager
async def _running(proxy: str, executable: Path, folder: Path, port: int) -> AsyncGenerator[None]:
    """Run the program until the block ends; what it wrote is searched for secrets."""
    with TemporaryFile() as written:
        process = subprocess.Popen(
            [executable, *_COMMANDS[proxy]],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
        hold(process.pid)
        try:
            async with asyncio.timeout(PATIENCE):
                while not await _listens(port):
                    assert process.poll() is None, _text(written.fileno())
                    await asyncio.sleep(0.02)
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            process.wait()
            release(process.pid)
            keep(proxy, _text(written.fileno()))


def _text(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")


async def _listens(port: int) -> bool:
    with suppress(ConnectionError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.abort()
        return True
    return False
