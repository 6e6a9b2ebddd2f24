"""Recording breaches of isolation, so that operators and whoever listens learn of them."""

import asyncio
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.dispatch import Signal

from contexts.audit import record_audit, record_system_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import ConflictError, InvalidRequestError
from contexts.identifiers import new_id
from contexts.isolation.breaches import Breach
from contexts.models import SecurityIncident, User
from contexts.scope import system_scope

logger = logging.getLogger(__name__)

isolation_breached = Signal()
"""Sent with `breach`, in the thread that noticed it, before it is in the database."""

WAIT_S = 15.0
"""How long synchronous code waits at most until an incident is in the database."""

_IDS = ("context_id", "user_id", "tenant_id", "run_id", "thread_id", "connection_id", "request_id")

# A thread and a connection of its own: what noticed the breach is rolled back, its record is not.
_writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netra-incidents")
_pending: set[Future[None]] = set()
_lock = threading.Lock()


def record_incident(breach: Breach) -> None:
    """Log a breach, tell the receivers of `isolation_breached`, and write it to the database.

    Waits until it is written, 15 s at most, but not in an event loop's thread; `flush_incidents` does
    that. A failure to write is logged: it must not keep the breach from being blocked.
    """
    incident_id = new_id()
    logger.log(
        logging.ERROR if breach.blocked else logging.WARNING,
        "Isolation breach %s: %s, found %s, %s; contexts %s",
        incident_id,
        breach.kind,
        breach.detector,
        "blocked" if breach.blocked else "not blocked",
        _identities(breach),
    )
    written = _submit(incident_id, breach)
    isolation_breached.send_robust(sender=Breach, breach=breach)
    if written is not None and not _is_in_event_loop():
        wait([written], timeout=WAIT_S)


def resolve_incident(incident_id: UUID, *, by: User, note: str, now: datetime) -> None:
    """Close an open incident with a note on what was found out and done.

    Raises:
        InvalidRequestError: when the note is blank.
        ConflictError: when there is no open incident with this id.
    """
    if not note.strip():
        raise InvalidRequestError("An incident is resolved with a note.")
    is_open = SecurityIncident.objects.filter(id=incident_id, resolved_at__isnull=True)
    if not is_open.update(resolution=note, resolved_at=now, resolved_by=by):
        raise ConflictError("The incident is resolved already, or there is none.")
    record_system_audit("incident_resolved", user_id=by.id, incident=str(incident_id))


def flush_incidents_sync() -> None:
    """Wait until every incident recorded so far is written, or has failed to be."""
    with _lock:
        pending = list(_pending)
    wait(pending)


async def flush_incidents() -> None:
    """Wait until every incident recorded so far is written, or has failed to be."""
    await asyncio.to_thread(flush_incidents_sync)


def _submit(incident_id: UUID, breach: Breach) -> Future[None] | None:
    try:
        written = _writer.submit(_write, incident_id, breach)
    except RuntimeError:  # the interpreter is going down
        logger.exception("Isolation breach %s was not written: contexts %s", incident_id, _identities(breach))
        return None
    with _lock:
        _pending.add(written)
    written.add_done_callback(_settle)
    return written


def _settle(written: Future[None]) -> None:
    with _lock:
        _pending.discard(written)


def _write(incident_id: UUID, breach: Breach) -> None:
    try:
        with system_scope("record an isolation breach", always_audited=False):
            SecurityIncident.objects.create(
                id=incident_id,
                kind=breach.kind,
                detector=breach.detector,
                blocked=breach.blocked,
                contexts=_identities(breach),
                details=dict(breach.details),
            )
            for context in breach.contexts:
                record_audit(
                    context,
                    "isolation_breach",
                    incident=str(incident_id),
                    kind=breach.kind.value,
                    detector=breach.detector.value,
                )
    except Exception:
        logger.exception("Isolation breach %s was not written: contexts %s", incident_id, _identities(breach))
    finally:
        connection.close()


def _identities(breach: Breach) -> list[dict[str, str]]:
    return [_identity(context) for context in breach.contexts]


def _identity(context: UserExecutionContext) -> dict[str, str]:
    ids = {name: getattr(context, name) for name in _IDS}
    return {name: str(value) for name, value in ids.items() if value is not None} | {
        "operation": context.operation
    }


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
