"""Revoke an identity with very many sockets through the gateway, as `wsauth serve` is installed."""

import asyncio
from pathlib import Path

import uvloop

from benchmarks.served.bench import Bench, Finding, Size
from benchmarks.served.revocation import revoke_crowd
from benchmarks.served.run import LIMIT

CONFIG = '[[routes]]\npath = "/ws"\nupstream = "ws://127.0.0.1:{backend}"\n'


def crowd(program: Path, folder: Path, backend: int, sockets: int, bystanders: int) -> Finding:
    """Return what the sockets and those of others saw."""
    bench = Bench(program, folder, Size(sockets=sockets, bystanders=bystanders))
    return uvloop.run(_within(bench, CONFIG.format(backend=backend)))


async def _within(bench: Bench, config: str) -> Finding:
    async with asyncio.timeout(LIMIT):
        return await revoke_crowd(bench, 1, config)
