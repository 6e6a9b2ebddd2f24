"""The process of those who ask: it admits runs as the web processes do."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import django

from benchmarks.live.commands import serve_commands

_contexts: dict[str, Any] = {}
_queued_at: dict[str, float] = {}


class _Queued:
    """Notes when a run's first event, and with it its job, was committed; an event sink."""

    def deliver_events(self, events: Sequence[Any], context: object) -> None:
        for event in events:
            if event.type == "run_queued":
                _queued_at[str(event.run_id)] = time.monotonic()

    def deliver_delta(self, delta: object, context: object) -> None:
        pass

    async def flush(self) -> None:
        pass


def _start(user_ids: list[str]) -> dict[str, float]:
    from agents.runs import start_run
    from benchmarks.runs.script import QUESTION
    from contexts.factory import UserContextFactory

    started = {}
    for user_id in user_ids:
        if user_id not in _contexts:
            _contexts[user_id] = UserContextFactory().for_command(UUID(user_id), operation="ask")
        run = start_run(_contexts[user_id], thread_id=None, text=QUESTION)
        started[str(run.run_id)] = _queued_at[str(run.run_id)]
    return started


async def start(user_ids: list[str]) -> dict[str, float]:
    """Have each user ask, one after the other; return the runs, and when their jobs were committed."""
    return await asyncio.to_thread(_start, user_ids)


def _token(user_id: str) -> str:
    from contexts.models import User
    from contexts.tokens import issue_tokens

    return issue_tokens(User.objects.get(id=user_id)).access


async def token(user_id: str) -> str:
    """Return an access token of a user."""
    return await asyncio.to_thread(_token, user_id)


async def cpu_seconds() -> float:
    """Return the CPU seconds of this process so far."""
    return time.process_time()


async def _serve() -> None:
    from agents.event_sinks import register_event_sink

    register_event_sink(_Queued())
    commands = {"start": start, "token": token, "cpu_seconds": cpu_seconds}
    serve_commands(commands, asyncio.get_running_loop())
    await asyncio.Event().wait()


if __name__ == "__main__":
    django.setup()
    asyncio.run(_serve())
