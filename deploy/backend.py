"""A sample backend: it knows nothing of logins, and greets whoever the gateway says is there."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve


async def greet(socket: ServerConnection) -> None:
    """Say who it is, then echo."""
    who = socket.request.headers.get("X-Wsauth-Subject", "nobody") if socket.request else "nobody"
    await socket.send(f"hello {who}")
    async for message in socket:
        await socket.send(message)


async def main() -> None:
    """Serve until the container ends."""
    async with serve(greet, "", 9000) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
