"""Writes many events of one run, as a worker would. Run as a program, with a user, a thread and a count."""

import asyncio
import sys
from typing import Any
from uuid import UUID

AT_ONCE = 50
TEXT = "a thought " * 400


async def _write(user_id: str, thread_id: str, count: int) -> str:
    from agents.admission import begin_run
    from agents.event_log import EventLog
    from agents.event_writer import close_event_writer
    from agents.models import Thread
    from contexts.database import call_in_thread, close_async_pool
    from contexts.factory import UserContextFactory
    from contexts.manager import get_context_manager
    from contexts.scope import system_scope
    from tests.factories import make_run

    def begin() -> Any:
        with system_scope("make a run of many events", always_audited=False):
            thread = Thread.objects.get(id=thread_id)
            run = make_run(thread)
        return begin_run(run.id, UserContextFactory(), user_id=UUID(user_id), tenant_id=thread.tenant_id)

    begun = await call_in_thread(begin)
    log = EventLog(begun.context, attempt=begun.attempt, last_seq=begun.last_seq)
    for first in range(0, count, AT_ONCE):
        await asyncio.gather(
            *(
                log.append("agent_thinking", agent_name="triage", data={"step": step, "text": TEXT})
                for step in range(first, min(first + AT_ONCE, count))
            )
        )
    await close_event_writer()
    await get_context_manager().cleanup_all()
    await close_async_pool()
    return str(log.run_id)


def main() -> None:
    """Write the events and print the run's id."""
    import django

    django.setup()
    user_id, thread_id, count = sys.argv[1:]
    sys.stdout.write(asyncio.run(_write(user_id, thread_id, int(count))))


if __name__ == "__main__":
    main()
