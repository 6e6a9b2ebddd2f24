"""Database records of root contexts: opened, closed, and cleaned up after dead processes."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import psutil
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from pydantic_core import to_json

from contexts.audit import record_audit, record_system_audit
from contexts.batching import NO_DATABASE, Batcher, is_contended
from contexts.context import UserExecutionContext
from contexts.manager import TIME_TO_LIVE
from contexts.models import ContextRecord
from contexts.scope import owner_scope, scope

logger = logging.getLogger(__name__)

CLOSED_AT_ONCE = 256
"""Contexts of coroutines whose records are closed by one call of the database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """What a context is held by; the time of its start tells a process from a later one with its id."""

    host: str
    id: int
    started_at: datetime


def this_process() -> Process:
    """Return what holds the contexts that are made here."""
    return _process(os.getpid())


def open_record(context: UserExecutionContext) -> None:
    """Record and audit that this process holds `context`."""
    process = this_process()
    with owner_scope(user_id=context.user_id, tenant_id=context.tenant_id):
        ContextRecord.objects.create(
            id=context.context_id,
            tenant_id=context.tenant_id,
            user_id=context.user_id,
            operation=context.operation,
            run_id=context.run_id,
            host=process.host,
            process_id=process.id,
            process_started_at=process.started_at,
            expires_at=context.created_at + TIME_TO_LIVE,
        )
        record_audit(context, "context_opened", operation=context.operation)


def renew_record(context: UserExecutionContext, *, now: datetime) -> None:
    """Record that `context` is still held, and will be until the time to live has passed again."""
    with scope(context):
        ContextRecord.objects.filter(id=context.context_id, closed_at=None).update(
            expires_at=now + TIME_TO_LIVE
        )


def close_record(context: UserExecutionContext) -> Awaitable[None] | None:
    """Record and audit that `context` is closed.

    In an event loop it is done together with others, once what is returned is awaited; elsewhere it is
    done on return.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        close_records([context])
        return None
    return _close_in_batches(context)


def close_records(contexts: Sequence[UserExecutionContext]) -> None:
    """Record and audit that contexts are closed, all of them or none; synchronous.

    What is closed already, because it had expired, stays as it is.
    """
    rows = [
        {
            "context_id": context.context_id,
            "tenant_id": context.tenant_id,
            "user_id": context.user_id,
            "run_id": context.run_id,
            "request_id": context.request_id,
            "operation": context.operation,
        }
        for context in contexts
    ]
    # An error leaves a caller's transaction usable.
    with transaction.atomic() if connection.in_atomic_block else nullcontext(), connection.cursor() as cursor:
        cursor.execute("SELECT netra_close_contexts(%s::jsonb)", [to_json(rows).decode()])


def _close_batch(contexts: Sequence[UserExecutionContext]) -> list[None]:
    try:
        close_records(contexts)
    except NO_DATABASE as error:
        if is_contended(error) and len(contexts) > 1:
            raise
        ids = ", ".join(str(context.context_id) for context in contexts)
        logger.exception("%d records of contexts stay open until they expire: %s", len(contexts), ids)
    return [None] * len(contexts)


_close_in_batches: Batcher[UserExecutionContext, None] = Batcher(_close_batch, size=CLOSED_AT_ONCE)


def close_abandoned_records(*, now: datetime) -> int:
    """Close the records of contexts that expired or whose process on this host is gone.

    Returns how many. Records of other hosts are closed only when they expire. Needs a system scope.
    """
    closed = 0
    host = socket.gethostname()
    found = ContextRecord.objects.filter(closed_at=None).filter(Q(expires_at__lte=now) | Q(host=host))
    # In the order in which many are closed at once, so that neither waits for the other.
    for record in found.order_by("id"):
        dead = record.host == host and not _is_alive(record.process_id, record.process_started_at)
        if dead or record.expires_at <= now:
            reason = "process_dead" if dead else "expired"
            mine = ContextRecord.objects.filter(id=record.id, closed_at=None).update(
                closed_at=Now(), close_reason=reason
            )
            if mine:
                record_system_audit(
                    "context_closed",
                    tenant_id=record.tenant_id,
                    user_id=record.user_id,
                    run_id=record.run_id,
                    operation=record.operation,
                    reason=reason,
                )
            closed += mine
    return closed


def _is_alive(process_id: int, started_at: datetime) -> bool:
    try:
        return abs((_started_at(process_id) - started_at).total_seconds()) < 1
    except psutil.NoSuchProcess:
        return False


def _started_at(process_id: int) -> datetime:
    if process_id == os.getpid():
        return this_process().started_at
    return datetime.fromtimestamp(psutil.Process(process_id).create_time(), UTC)


@cache
def _process(process_id: int) -> Process:
    started_at = datetime.fromtimestamp(psutil.Process(process_id).create_time(), UTC)
    return Process(host=socket.gethostname(), id=process_id, started_at=started_at)
