"""Requests that come in one moment begin one after another."""

import asyncio
from typing import Any

from wsauth.serve.turns import InTurn


async def nothing() -> dict[str, Any]:
    """Bring no message."""
    return {}


async def nowhere(_: Any) -> None:
    """Take a message."""


async def test_others_have_their_turn_between_them() -> None:
    """Of a hundred one begins in each round of the loop, in order, and all of them do."""
    order: list[int] = []
    rounds: list[int] = []
    current = 0

    async def app(scope: Any, _: Any, __: Any) -> None:
        order.append(scope["number"])
        rounds.append(current)

    turns = InTurn(app)
    answering = asyncio.gather(*(turns({"number": each}, nothing, nowhere) for each in range(100)))
    while not answering.done():
        current += 1
        await asyncio.sleep(0)
    assert order == list(range(100))
    assert len(set(rounds)) == 100


async def test_one_that_leaves_takes_no_turn() -> None:
    """Whoever hangs up while it waits is skipped, and the rest go on; one that lasts is in nobody's way."""
    begun: list[int] = []
    lasting = asyncio.Event()

    async def app(scope: Any, _: Any, __: Any) -> None:
        begun.append(scope["number"])
        if scope["number"] == 0:
            await lasting.wait()

    turns = InTurn(app)
    tasks = [asyncio.ensure_future(turns({"number": each}, nothing, nowhere)) for each in range(10)]
    await asyncio.sleep(0)
    for task in tasks[5:8]:
        task.cancel()
    await asyncio.gather(*tasks[1:], return_exceptions=True)
    assert begun == [0, 1, 2, 3, 4, 8, 9]
    lasting.set()
    await tasks[0]
    await turns({"number": 10}, nothing, nowhere)
    assert begun[-1] == 10
