"""A run's events as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

from agents.events import TERMINAL_TYPES, Event
from agents.selectors import events_of
from contexts.database import call_in_thread
from contexts.exceptions import NetraError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.scope import scope

MEDIA_TYPE = "text/event-stream"
POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0


async def stream_events(
    user_id: UUID,
    run_id: UUID,
    *,
    after: int,
    poll_seconds: float = POLL_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield the events numbered above `after` as they are committed, until the run's last one.

    Holds no database connection while waiting. Each look is a request of its own: a user who was
    deactivated or left the tenant gets an `error` message and nothing more.
    """
    loop = asyncio.get_running_loop()
    last_sent_at = loop.time()
    # Whoever reads the answer's head knows that the stream stands, before the first event.
    yield b": open\n\n"
    while True:
        try:
            events = await call_in_thread(_read_events, user_id, run_id, after)
        except NetraError as error:
            yield _message("error", {"code": error.code, "message": error.message})
            return
        for event in events:
            yield _message(event.type, event.frame(), number=event.seq)
            after, last_sent_at = event.seq, loop.time()
            if event.type in TERMINAL_TYPES:
                return
        if loop.time() - last_sent_at >= heartbeat_seconds:
            yield b": heartbeat\n\n"
            last_sent_at = loop.time()
        await asyncio.sleep(poll_seconds)


def _read_events(user_id: UUID, run_id: UUID, after: int) -> list[Event]:
    opened = managed_user_context(UserContextFactory().for_request(user_id, operation="stream"))
    with opened as context, scope(context):
        return events_of(context, run_id, after=after)


def _message(name: str, data: dict[str, object], *, number: int | None = None) -> bytes:
    identity = "" if number is None else f"id: {number}\n"
    # JSON without line breaks: one data line holds it.
    return f"{identity}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
