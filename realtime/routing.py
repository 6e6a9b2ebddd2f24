"""Where sockets connect."""

from typing import Any

from realtime.auth import sign_in_socket
from realtime.consumers import ChatConsumer

CHAT_PATH = "/ws/chat/"


async def websocket_application(scope: Any, receive: Any, send: Any) -> None:
    """Serve one socket; at any other address the handshake is refused (HTTP 403).

    One coroutine and no copy of the scope: they last as long as the socket.
    """
    if scope["path"] != CHAT_PATH:
        await receive()
        await send({"type": "websocket.close"})
        return
    sign_in = await sign_in_socket(scope)
    # Servers log the address of each socket; a ticket, or a token put there by mistake, is a secret.
    scope["query_string"] = b""
    await ChatConsumer(sign_in, receive, send).serve()
