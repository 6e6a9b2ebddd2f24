"""Plain Channels as everyone writes it: a consumer in its user's group, and `group_send` for each event."""

import json
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from benchmarks.live.frames import event_frame


def group_of(user_id: str) -> str:
    """Return a user's group; Netra, on the same Redis at the same time, has others."""
    return f"plain.user.{user_id}"


class PlainConsumer(AsyncWebsocketConsumer):
    """A socket of the user whom the address names."""

    async def connect(self) -> None:
        """Join the user's group."""
        self.group = group_of(self._user_id())
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        """Leave the user's group."""
        if hasattr(self, "group"):
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def event_message(self, message: dict[str, Any]) -> None:
        """Forward an event."""
        await self.send(text_data=json.dumps(message["event"]))

    def _user_id(self) -> str:
        return str(self.scope["url_route"]["kwargs"]["user_id"])


class SignedInConsumer(PlainConsumer):
    """A socket of the user whom the session cookie names."""

    async def connect(self) -> None:
        """Refuse whoever is not signed in."""
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        await super().connect()

    def _user_id(self) -> str:
        return str(self.scope["user"].pk)


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("ws/plain/<str:user_id>", PlainConsumer.as_asgi()),
                path("ws/session/", AuthMiddlewareStack(SignedInConsumer.as_asgi())),
            ]
        )
    }
)


class PlainEmitter:
    """Sends one user's events to their group."""

    def __init__(self, person: dict[str, str]) -> None:
        """Send to this person's group."""
        self._person = person
        self._group = group_of(person["user_id"])
        self._seq = 0

    async def emit(self, sent_ns: int) -> None:
        """Send the next event."""
        self._seq += 1
        event = event_frame(self._person, self._seq, sent_ns)
        await get_channel_layer().group_send(self._group, {"type": "event.message", "event": event})
