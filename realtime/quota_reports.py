"""Telling users where they stand with their quotas, on all their sockets, when something was used."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
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
from contexts.scope import owner_scope
from contexts.selectors import standing_in_scope
from realtime.emitter import UserWebSocketEmitter
from realtime.fanout import get_fanout
from realtime.protocol import AccountFrame
from realtime.quota_frames import quota_frames

logger = logging.getLogger(__name__)

SETTLED_BY_RUNS = (
    Resource.AGENT_RUNS,
    Resource.CONCURRENT_RUNS,
    Resource.TOKENS,
    Resource.COST_USD,
    Resource.CPU_SECONDS,
)

COLLECTED_SECONDS = 0.5
"""How long what a run uses bit by bit is collected before its user is told of it."""


class _Report:
    """What a member is to be told of, soon; it belongs to the event loop of its task."""

    def __init__(self) -> None:
        self.resources: set[str] = set()
        self.is_due = asyncio.Event()


_pending: dict[Member, _Report] = {}
_tasks: set[asyncio.Task[None]] = set()


async def report_quotas(member: Member, resources: Collection[str]) -> None:
    """Send a user where they stand with `resources`, unless they may not sign in any more.

    Raises:
        UnavailableError: when the database does not answer.
    """
    try:
        context, frames = await call_in_thread(_make_report, member, resources)
    except (NotAuthenticatedError, PermissionDeniedError) as error:
        logger.info("No quotas are reported to user %s: %s", member.user_id, error)
        return
    async with managed_user_context(context):
        if context.tenant_id != member.tenant_id:
            logger.info("No quotas are reported to user %s: they act for another tenant", member.user_id)
            return
        UserWebSocketEmitter(context).emit_account(frames)


def note_changed_quotas(*, user_id: UUID, tenant_id: UUID, resources: tuple[str, ...], **_: Any) -> None:
    """Report quotas that were changed by something else than a run; a signal's receiver, for any thread.

    In an event loop it is done within half a second, once for all until then; elsewhere before it returns.
    """
    member = Member(tenant_id=tenant_id, user_id=user_id)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        async_to_sync(_report_and_flush)(member, resources)
    else:
        _add(member, resources)


def report_soon(member: Member, resources: Collection[str]) -> None:
    """Report quotas in the running event loop, with what is collected; once for what comes in a quick row."""
    _add(member, resources).is_due.set()


async def flush_quota_reports() -> None:
    """Have the reports that were begun sent now, and wait for that."""
    for report in _pending.values():
        report.is_due.set()
    while _tasks:
        await asyncio.wait(list(_tasks))
    await get_fanout().flush()


def _add(member: Member, resources: Collection[str]) -> _Report:
    report = _pending.get(member)
    if report is None:
        report = _pending[member] = _Report()
        loop = asyncio.get_running_loop()
        task = loop.create_task(_send(member, report), name="report-quotas", context=Context())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
    report.resources.update(resources)
    return report


async def _report_and_flush(member: Member, resources: Collection[str]) -> None:
    await _report_or_log(member, resources)
    await get_fanout().flush()


async def _send(member: Member, report: _Report) -> None:
    try:
        while report.resources:
            with suppress(TimeoutError):
                await asyncio.wait_for(report.is_due.wait(), COLLECTED_SECONDS)
            report.is_due.clear()
            resources, report.resources = report.resources, set()
            await _report_or_log(member, resources)
    finally:
        del _pending[member]


async def _report_or_log(member: Member, resources: Collection[str]) -> None:
    try:
        await report_quotas(member, resources)
    except UnavailableError:
        # The page asks again by itself; nothing is lost but a little time.
        logger.exception("The quotas of user %s could not be reported", member.user_id)


def _make_report(
    member: Member, resources: Collection[str]
) -> tuple[UserExecutionContext, list[AccountFrame]]:
    """Look up in one transaction where the user stands; nothing is said where they act for another tenant."""
    with owner_scope(user_id=member.user_id, tenant_id=member.tenant_id):
        standing = standing_in_scope(member.user_id)
        is_theirs = standing.tenant_id == member.tenant_id
        frames = quota_frames(standing, [name for name in RULES if name in resources]) if is_theirs else []
    return UserContextFactory().for_standing(standing, operation="report.quotas"), frames
