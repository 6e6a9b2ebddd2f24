"""Closing, from time to time, the contexts that nobody closed."""

import asyncio
import logging
from datetime import UTC, datetime

from contexts.database import call_in_thread
from contexts.exceptions import UnavailableError
from contexts.manager import get_context_manager
from contexts.records import close_abandoned_records
from contexts.scope import system_scope

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 30.0


async def sweep_contexts(*, every: float = SWEEP_SECONDS) -> None:
    """Close this process's expired contexts and the records of dead processes, until cancelled.

    Each time what the live contexts reach is looked through for what two users share, too.
    """
    manager = get_context_manager()
    while True:
        closed = await manager.cleanup_expired(now=datetime.now(UTC))
        if closed:
            logger.warning("%d execution contexts outlived their time and were closed", closed)
        await asyncio.to_thread(manager.validate_isolation)
        for reason in manager.health().reasons:
            logger.warning("Execution contexts: %s", reason)
        try:
            await call_in_thread(close_abandoned_contexts)
        except UnavailableError:
            logger.exception("The records of dead contexts could not be closed; it is tried again")
        await asyncio.sleep(every)


def close_abandoned_contexts(*, always_audited: bool = False) -> int:
    """Close the records of contexts that expired or whose process is dead; return how many."""
    with system_scope("close abandoned contexts", always_audited=always_audited):
        return close_abandoned_records(now=datetime.now(UTC))
