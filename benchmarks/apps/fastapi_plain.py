"""Echo in FastAPI, without auth."""

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def echo(socket: WebSocket) -> None:
    """Answer each message with itself."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
