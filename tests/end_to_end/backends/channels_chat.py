"""A chat with Django Channels, as its tutorial has one: `daphne tests.end_to_end.backends.channels_chat:application`.

Rooms are groups, orders are those of websockets_chat.py. Nothing in it knows of wsauth; as in every Channels project
the page's origin is checked here too.
"""

# Django and Channels have no types.
# mypy: disable-error-code="import-untyped, misc"

import json
from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "chat.example.com"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    INSTALLED_APPS=["channels", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    SECRET_KEY="of no use to anybody, since nothing is signed with it",
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ROOT_URLCONF=__name__,
)
django.setup()

# Django must be set up before these may be imported.
from channels.auth import AuthMiddlewareStack  # noqa: E402  # the same reason
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  # the same reason
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  # the same reason
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402  # the same reason
from django.core.asgi import get_asgi_application  # noqa: E402  # the same reason
from django.urls import re_path  # noqa: E402  # the same reason

urlpatterns: list[Any] = []


class Chat(AsyncWebsocketConsumer):
    """Serve one member."""

    async def connect(self) -> None:
        """Enter the room that the path names."""
        self.room = f"chat_{self.scope['url_route']['kwargs']['room']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        known = [name for name in ("chat.v2", "chat.v1") if name in self.scope["subprotocols"]]
        await self.accept(known[0] if known else None)

    async def disconnect(self, code: int) -> None:
        """Tell the rest."""
        await self.channel_layer.group_discard(self.room, self.channel_name)
        await self.channel_layer.group_send(self.room, {"type": "chat.message", "text": f"left {code}"})

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Pass on what was said."""
        await self.send(text_data=event["text"])

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Echo, or do what the member orders."""
        if text_data is None or not text_data.startswith("/"):
            await self.send(text_data=text_data, bytes_data=bytes_data)
            return
        name, _, rest = text_data[1:].partition(" ")
        if name == "say":
            await self.channel_layer.group_send(self.room, {"type": "chat.message", "text": rest})
        elif name == "head":
            await self.send(text_data=json.dumps({"target": self.target(), "headers": self.headers()}))
        elif name == "long":
            await self.send(text_data="x" * int(rest))
        elif name == "close":
            code, _, reason = rest.partition(" ")
            await self.close(code=int(code), reason=reason)
        else:
            await self.send(text_data=text_data)

    def target(self) -> str:
        """Return path and query."""
        query = self.scope["query_string"].decode()
        return f"{self.scope['path']}?{query}" if query else str(self.scope["path"])

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of the handshake."""
        return [(name.decode(), value.decode("latin-1")) for name, value in self.scope["headers"]]


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([re_path(r"channels/(?P<room>\w+)/$", Chat.as_asgi())]))
        ),
    }
)
