"""Where sockets connect."""

from typing import Any

from django.urls import path, re_path

from realtime.auth import SignInMiddleware
from realtime.consumers import ChatConsumer

with_sign_in = SignInMiddleware


async def refuse_unknown(scope: Any, receive: Any, send: Any) -> None:
    """Refuse the handshake (HTTP 403): there is no socket at this address."""
    await receive()
    await send({"type": "websocket.close"})


websocket_urlpatterns = [
    path("ws/chat/", ChatConsumer.as_asgi()),
    re_path("", refuse_unknown),  # type: ignore[arg-type]  # an ASGI application, not a view
]
