"""Tool calls in full: kept where events have only a part, read for the run's owner."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from agents.event_log import EventLog, FencedError
from agents.models import RunEvent, ToolCall
from agents.selectors import run_of
from contexts.context import UserExecutionContext
from contexts.exceptions import NotFoundError
from contexts.scope import async_scope

CALL_ID = re.compile(r"[A-Za-z0-9_-][\w.:-]{0,127}", re.ASCII)
"""What a call's id looks like, so that an address can carry it."""

# Fenced as events are: only while the run is with the attempt that reports the call.
_KEEP = """
INSERT INTO agents_toolcall (run_id, call_id, tenant_id, user_id, tool_name, params, result, error)
SELECT run.id, %(call_id)s, run.tenant_id, run.user_id, %(tool_name)s,
       %(params)s::jsonb, %(result)s::jsonb, %(error)s::jsonb
FROM agents_run AS run
WHERE run.id = %(run_id)s AND run.attempt = %(attempt)s AND run.status = 'running'
FOR SHARE OF run
ON CONFLICT (run_id, call_id) DO UPDATE
SET tool_name = excluded.tool_name, params = excluded.params, result = excluded.result, error = excluded.error
RETURNING run_id
"""

_NO_CALL = "There is no such call."


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of a tool, with all that is kept of its parameters and its outcome."""

    run_id: UUID
    call_id: str
    tool_name: str
    agent_name: str
    params: Any
    ok: bool | None
    """None while it runs."""
    result: Any
    error: Any
    duration_ms: float | None
    started_at: datetime


async def keep_call(
    log: EventLog, *, call_id: str, tool_name: str, params: Any, result: Any = None, error: Any = None
) -> None:
    """Commit a call in full, before the event that has only a part of it; it is gone with its run.

    The values are disclosed already, and checked.

    Raises:
        FencedError: when the run has ended or was taken over.
        UnavailableError: when no connection is free in time.
        psycopg.Error: when the database refuses or does not answer.
    """
    row = {
        "run_id": log.run_id,
        "attempt": log.attempt,
        "call_id": call_id,
        "tool_name": tool_name,
        "params": _json(params),
        "result": None if result is None else _json(result),
        "error": None if error is None else _json(error),
    }
    async with async_scope("event_log") as connection:
        cursor = await connection.execute(_KEEP, row)
        is_kept = await cursor.fetchone() is not None
    if not is_kept:
        raise FencedError(f"Run {log.run_id} is no longer attempt {log.attempt}'s.")


def read_call(context: UserExecutionContext, run_id: UUID, call_id: str) -> CallRecord:
    """Return a call of one of the user's runs; of calls with the same id, the last.

    Raises:
        NotFoundError: when the run or the call does not exist, or is someone else's.
    """
    run = run_of(context, run_id)
    if CALL_ID.fullmatch(call_id) is None:
        raise NotFoundError(_NO_CALL)
    types = ("tool_executing", "tool_completed")
    events = RunEvent.objects.filter(run_id=run.id, type__in=types, data__call_id=call_id).order_by("seq")
    begun: RunEvent | None = None
    ended: RunEvent | None = None
    for event in events:
        begun, ended = (event, None) if event.type == "tool_executing" else (begun, event)
    if begun is None:
        raise NotFoundError(_NO_CALL)
    outcome: dict[str, Any] = ended.data if ended else {}
    kept = ToolCall.objects.filter(run_id=run.id, call_id=call_id).first()
    params_of = kept if kept and begun.data.get("is_cut") else None
    outcome_of = kept if kept and outcome.get("is_cut") else None
    return CallRecord(
        run_id=run.id,
        call_id=call_id,
        tool_name=begun.data["tool_name"],
        agent_name=begun.agent_name,
        params=params_of.params if params_of else begun.data["params"],
        ok=outcome.get("ok"),
        result=outcome_of.result if outcome_of else outcome.get("result"),
        error=outcome_of.error if outcome_of else outcome.get("error"),
        duration_ms=outcome.get("duration_ms"),
        started_at=begun.created_at,
    )


def _json(value: Any) -> str:
    return to_json(value, inf_nan_mode="null").decode()
