"""Telling users where they stand with their quotas, on all their sockets, when something was used."""

import asyncio
import logging
from collections.abc import Collection
from contextvars import Context
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync

from contexts.context import UserExecutionContext
from contexts.database import call_in_thread
from contexts.exceptions import NotAuthenticatedError, PermissionDeniedError, UnavailableError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.resources import RULES, Resource
from contexts.rights import Member
from realtime.emitter import UserWebSocketEmitter
from realtime.fanout import get_fanout
from realtime.quota_frames import quota_frames

logger = logging.getLogger(__name__)

SETTLED_BY_RUNS = (
    Resource.AGENT_RUNS,
    Resource.CONCURRENT_RUNS,
    Resource.TOKENS,
    Resource.COST_USD,
    Resource.CPU_SECONDS,
)

_pending: dict[Member, set[str]] = {}
_tasks: set[asyncio.Task[None]] = set()


async def report_quotas(member: Member, resources: Collection[str]) -> None:
    """Send a user where they stand with `resources`, unless they may not sign in any more.

    Raises:
        UnavailableError: when the database does not answer.
    """
    try:
        context = await call_in_thread(_open_report_context, member.user_id)
    except (NotAuthenticatedError, PermissionDeniedError) as error:
        logger.info("No quotas are reported to user %s: %s", member.user_id, error)
        return
    async with managed_user_context(context):
        if context.tenant_id != member.tenant_id:
            logger.info("No quotas are reported to user %s: they act for another tenant", member.user_id)
            return
        frames = await call_in_thread(quota_frames, context, [name for name in RULES if name in resources])
        UserWebSocketEmitter(context).emit_account(frames)


def note_changed_quotas(*, user_id: UUID, tenant_id: UUID, resources: tuple[str, ...], **_: Any) -> None:
    """Report quotas that were changed by something else than a run; a signal's receiver, for any thread.

    In an event loop it is done soon; elsewhere before it returns.
    """
    member = Member(tenant_id=tenant_id, user_id=user_id)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        async_to_sync(_report_and_flush)(member, resources)
    else:
        report_soon(member, resources)


def report_soon(member: Member, resources: Collection[str]) -> None:
    """Report quotas in the running event loop, once for what comes in a quick row."""
    if member in _pending:
        _pending[member].update(resources)
        return
    _pending[member] = set(resources)
    loop = asyncio.get_running_loop()
    task = loop.create_task(_report_pending(member), name="report-quotas", context=Context())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def flush_quota_reports() -> None:
    """Wait until the reports that were begun are sent."""
    while _tasks:
        await asyncio.wait(list(_tasks))
    await get_fanout().flush()


async def _report_and_flush(member: Member, resources: Collection[str]) -> None:
    await _report_or_log(member, resources)
    await get_fanout().flush()


async def _report_pending(member: Member) -> None:
    try:
        while resources := _pending[member]:
            _pending[member] = set()
            await _report_or_log(member, resources)
    finally:
        del _pending[member]


async def _report_or_log(member: Member, resources: Collection[str]) -> None:
    try:
        await report_quotas(member, resources)
    except UnavailableError:
        # The page asks again by itself; nothing is lost but a little time.
        logger.exception("The quotas of user %s could not be reported", member.user_id)


def _open_report_context(user_id: UUID) -> UserExecutionContext:
    return UserContextFactory().for_request(user_id, operation="report.quotas")
