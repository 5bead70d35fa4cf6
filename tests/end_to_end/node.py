"""Node with the npm package ws: runs one small ES module and gives back what it printed."""

import asyncio
import os
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "node"
PATIENCE = 20.0  # seconds


async def run(node: Path, script: str, *arguments: str) -> list[str]:
    """Run a script (an ES module; `import WebSocket from "ws"` works) and return its lines.

    Args:
        node: the executable, from the fixture of that name.
        script: the module's text. Its arguments are `process.argv.slice(2)`.
        arguments: what the script is told, an address for instance.

    Raises:
        AssertionError: it ended with another status than 0, or wrote to standard error.
        TimeoutError: it did not end in time, and was killed.
    """
    process = await asyncio.create_subprocess_exec(
        node,
        "--input-type=module",
        "-",
        *arguments,
        cwd=FOLDER,
        env={"PATH": os.defpath},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            output, complaints = await process.communicate(script.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, complaints.decode()
    assert complaints == b""
    return output.decode().splitlines()
