"""A run's events as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

from agents.api.wake_ups import WakeUp, woken_by_events
from agents.events import TERMINAL_TYPES, Event
from agents.selectors import events_of
from contexts.database import call_in_thread
from contexts.exceptions import NetraError, NotAuthenticatedError, RateLimitedError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.scope import scope
from contexts.sign_ins import SignIn, valid_sign_ins

MEDIA_TYPE = "text/event-stream"
POLL_SECONDS = 1.0
"""Between two looks at the log when nothing rings: events of other processes ring nowhere here."""
HEARTBEAT_SECONDS = 15.0
RETRY_MS = 2_000
"""After which an EventSource that was cut off connects again."""
HEAD = f"retry: {RETRY_MS}\n: open\n\n".encode()
"""Whoever reads it knows that the stream stands, before the first event."""
MAX_STREAMS_OF_A_USER = 20
"""Open at once in this process: each looks for events as long as it is open."""

_open_streams: Counter[UUID] = Counter()


def check_streams(user_id: UUID) -> None:
    """Refuse one stream too many of a user, before it begins.

    Raises:
        RateLimitedError: when the user has `MAX_STREAMS_OF_A_USER` open.
    """
    if _open_streams[user_id] >= MAX_STREAMS_OF_A_USER:
        raise RateLimitedError(
            "You have too many streams of events open; close one first.",
            resource="event_streams",
            limit=MAX_STREAMS_OF_A_USER,
            used=_open_streams[user_id],
            resets_at=None,
        )


async def stream_events(
    sign_in: SignIn,
    run_id: UUID,
    *,
    after: int,
    poll_seconds: float = POLL_SECONDS,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """Yield the events numbered above `after` as they are committed, until the run's last one.

    Looks at the log whenever this process publishes an event of the run, and every `poll_seconds`.
    Holds no database connection while waiting. Each look is a request of its own: a user who was
    deactivated, left the tenant or signed out gets an `error` message and nothing more, and so does one who
    has too many streams open.
    """
    try:
        with _counted(sign_in.user_id), woken_by_events(run_id) as wake_up:
            async for message in _follow(sign_in, run_id, after, wake_up, poll_seconds, heartbeat_seconds):
                yield message
    except NetraError as error:
        yield _message("error", {"code": error.code, "message": error.message})


async def _follow(
    sign_in: SignIn,
    run_id: UUID,
    after: int,
    wake_up: WakeUp,
    poll_seconds: float,
    heartbeat_seconds: float,
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    last_sent_at = loop.time()
    yield HEAD
    while True:
        wake_up.prepare()
        events = await call_in_thread(_read_events, sign_in, run_id, after)
        for event in events:
            yield _message(event.type, event.frame(), number=event.seq)
            after, last_sent_at = event.seq, loop.time()
            if event.type in TERMINAL_TYPES:
                return
        if loop.time() - last_sent_at >= heartbeat_seconds:
            yield b": heartbeat\n\n"
            last_sent_at = loop.time()
        await wake_up.wait(poll_seconds)


@contextmanager
def _counted(user_id: UUID) -> Iterator[None]:
    # Streams that were asked for at the same moment have all passed the check before.
    check_streams(user_id)
    _open_streams[user_id] += 1
    try:
        yield
    finally:
        _open_streams[user_id] -= 1
        if not _open_streams[user_id]:
            del _open_streams[user_id]


def _read_events(sign_in: SignIn, run_id: UUID, after: int) -> list[Event]:
    if sign_in.expires_at <= datetime.now(UTC) or sign_in.proof not in valid_sign_ins([sign_in.proof]):
        raise NotAuthenticatedError("The sign-in has ended; sign in again.")
    opened = managed_user_context(UserContextFactory().for_request(sign_in.user_id, operation="stream"))
    with opened as context, scope(context):
        return events_of(context, run_id, after=after)


def _message(name: str, data: dict[str, object], *, number: int | None = None) -> bytes:
    identity = "" if number is None else f"id: {number}\n"
    # JSON without line breaks: one data line holds it.
    return f"{identity}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
