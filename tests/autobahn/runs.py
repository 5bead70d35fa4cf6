"""Each way that the suite goes to the backend, and `wstest`, which goes it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import trustme

from tests.autobahn.outcomes import Outcome, read_index
from tests.wsauth_server import ROOT, serving

__all__ = ["GROUPS", "RUNS", "TOOLS", "WSTEST", "Run", "backend", "carried_out", "reached"]

TOOLS = ROOT / ".tools" / "autobahn"
WSTEST = TOOLS / "python2" / "bin" / "wstest"
_REPORTS = TOOLS / "reports"
"""Stay, for whoever looks why a case failed."""
_QUICK = (("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"), ("9.*",))
GROUPS = (*_QUICK, ("12.*",), ("13.*",))
"""All cases. Those about permessage-deflate take many minutes; they end after 8 at the latest, each."""
_CONFIG = """
[server]
{tls}

[[routes]]
path = "/plain"
upstream = "{upstream}"
anonymous = true
max_message = "64MiB"

[[routes]]
path = "/compressed"
upstream = "{upstream}"
sources = ["insecure_query"]
compression = true
max_message = "64MiB"
"""


@dataclass(frozen=True)
class Run:
    """Say how the backend is reached.

    Attributes:
        name: of the run.
        what: the same in words.
        path: of the gateway's route; empty for no gateway.
        tls: the suite speaks TLS to the gateway, whose end is then a transport of the event loop.
        compressed: permessage-deflate may be agreed.
        groups: the cases, in what `wstest` is asked at once.
    """

    name: str
    what: str
    path: str = ""
    tls: bool = False
    compressed: bool = False
    groups: Sequence[Sequence[str]] = GROUPS

    def has(self, case: str) -> bool:
        """Tell whether this run has a case."""
        return any(case.startswith(each.removesuffix("*")) for group in self.groups for each in group)


RUNS = (
    Run("direct", "straight to the backend", compressed=True),
    Run("plain", "through the gateway, an anonymous route", path="/plain"),
    Run("compressed", "through the gateway, `compression = true` and a token", path="/compressed", compressed=True),
    Run(
        "tls",
        "the same over TLS, with the first of the cases about compression",
        path="/compressed",
        tls=True,
        compressed=True,
        groups=(*_QUICK, ("12.1.*",)),
    ),
)


@asynccontextmanager
async def backend() -> AsyncGenerator[str]:
    """Run the backend, and tell its URL."""
    process = await asyncio.create_subprocess_exec(
        "node", "backend.mjs", cwd=Path(__file__).parent, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not (port := (await process.stdout.readline()).decode().strip()):
            raise RuntimeError("the backend did not start: npm ci --prefix tests/node")
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def reached(run: Run, upstream: str, folder: Path) -> AsyncGenerator[str]:
    """Bring up what is between, and tell the URL that the suite asks."""
    if not run.path:
        yield upstream
        return
    folder.mkdir(parents=True, exist_ok=True)
    tls = ""
    if run.tls:
        issued = trustme.CA().issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(folder / "server.pem")
        issued.private_key_pem.write_to_path(folder / "server.key")
        # Python 2.7's pyOpenSSL is asked for nothing newer.
        tls = 'tls_certificate = "server.pem"\ntls_key = "server.key"\ntls_minimum = "1.2"'
    async with serving(folder, config=_CONFIG.format(tls=tls, upstream=upstream)) as gateway:
        query = ""
        if run.path == "/compressed":
            # `compression` is only for who brings credentials, and the suite can send no header.
            done = await gateway.command("tokens", "issue", "--subject", "autobahn", "--ttl", "24h")
            query = f"?token={done.out.strip()}"
        try:
            yield f"{gateway.ws}{run.path}{query}"
        finally:
            _REPORTS.mkdir(parents=True, exist_ok=True)
            (_REPORTS / f"{run.name}.log").write_text(gateway.output(), "utf-8")


async def carried_out(run: Run, url: str, cases: Sequence[str]) -> dict[str, Outcome]:
    """Have `wstest` run cases, such as `9.*`, against a URL."""
    _REPORTS.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f"{run.name}-", dir=_REPORTS))
    specification = folder / "specification.json"
    server = {"agent": run.name, "url": url}
    specification.write_text(json.dumps({"outdir": str(folder), "servers": [server], "cases": list(cases)}), "utf-8")
    try:
        with (folder / "wstest.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                str(WSTEST), "-m", "fuzzingclient", "-s", str(specification), stdout=log, stderr=log
            )
            await process.wait()
    finally:
        specification.unlink()  # the URL may hold a token
    return read_index(folder / "index.json")
