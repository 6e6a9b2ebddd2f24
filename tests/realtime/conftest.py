"""What the socket's tests share: the cast, sockets of theirs, and a clean register."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from rest_framework_simplejwt.tokens import AccessToken

from contexts.database import close_async_pool
from contexts.models import User
from realtime.managers import reset_manager_registry
from tests.factories import Cast, make_cast
from tests.realtime.sockets import OpenSocket, Socket


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Return alice and bob of acme, and carol of globex."""
    return make_cast()


@pytest.fixture
async def open_socket() -> AsyncIterator[OpenSocket]:
    """Return what opens a signed-in socket of a user, its first frame read; all end with the test."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(close_async_pool)
        stack.push_async_callback(reset_manager_registry)

        async def opened(user: User) -> Socket:
            token = str(AccessToken.for_user(user))
            socket = await Socket(subprotocols=["netra.v1", f"bearer.{token}"]).connect()
            stack.push_async_callback(socket.leave)
            assert (await socket.receive())["type"] == "connection_established"
            return socket

        yield opened
