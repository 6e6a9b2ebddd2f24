from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from contexts.audit import append_audit, record_audit, record_system_audit
from contexts.database import async_pool, call_in_thread, close_async_pool
from contexts.exceptions import UnavailableError
from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import AuditEntry
from contexts.redaction import REDACTED
from contexts.scope import scope, system_scope
from tests.contexts.audit_tools import broken, execute
from tests.factories import Cast, make_cast

RUN = UUID("019a0000-0000-7000-8000-0000000000aa")


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


@pytest.fixture
async def bobs(cast: Cast):
    """Yield a context of bob's, with a pool for the test's own loop."""
    made = await call_in_thread(UserContextFactory().for_request, cast.bob.id)
    async with managed_user_context(made) as context:
        yield context
    await close_async_pool()


def entry_of(action: str) -> AuditEntry:
    return AuditEntry.objects.get(action=action)


def test_an_entry_names_its_context(cast: Cast):
    with managed_user_context(UserContextFactory().for_request(cast.bob.id)) as context, scope(context):
        record_audit(context, "thread_deleted", thread_id=str(RUN))
        entry = entry_of("thread_deleted")
    assert (entry.tenant_id, entry.user_id) == (cast.acme.id, cast.bob.id)
    assert (entry.context_id, entry.request_id) == (context.context_id, context.request_id)
    assert (entry.run_id, entry.details) == (None, {"thread_id": str(RUN)})


def test_an_entry_goes_with_its_transaction(cast: Cast):
    with managed_user_context(UserContextFactory().for_request(cast.bob.id)) as context, scope(context):
        record_audit(context, "thread_deleted")
        transaction.set_rollback(True)
    assert not AuditEntry.objects.filter(action="thread_deleted").exists()


def test_an_entry_without_context_says_what_is_known(cast: Cast):
    with system_scope("test"):
        record_system_audit("audit_pruned", entries=3)
        record_system_audit(
            "context_closed", tenant_id=cast.acme.id, user_id=cast.bob.id, run_id=RUN, context_id=RUN
        )
    assert entry_of("audit_pruned").tenant_id is None
    closed = entry_of("context_closed")
    assert (closed.tenant_id, closed.user_id, closed.run_id) == (cast.acme.id, cast.bob.id, RUN)
    assert (closed.context_id, closed.details) == (RUN, {})


def test_an_entry_without_action_is_refused(cast: Cast):
    with system_scope("test"), pytest.raises(IntegrityError), transaction.atomic():
        record_system_audit("")


@pytest.mark.mission_critical("P8")
def test_no_way_of_writing_keeps_a_secret(cast: Cast):
    with managed_user_context(UserContextFactory().for_request(cast.bob.id)) as context:
        with scope(context):
            record_audit(context, "by_context", password="hunter2")
        with system_scope("test"):
            record_system_audit("by_system", password="hunter2")
    assert entry_of("by_context").details == entry_of("by_system").details == {"password": REDACTED}


@pytest.mark.mission_critical("P8")
async def test_an_appended_entry_keeps_no_secret(bobs):
    await append_audit(bobs, "tool_called", tool="list_datasets", params={"api_key": "hunter2", "limit": 5})
    entry = await call_in_thread(entry_of, "tool_called")
    assert entry.details == {"tool": "list_datasets", "params": {"api_key": REDACTED, "limit": 5}}


async def test_an_appended_entry_is_committed_and_sealed_by_itself(bobs):
    def work_that_fails() -> None:
        with scope(bobs):
            record_audit(bobs, "rolled_back")
            transaction.set_rollback(True)

    await append_audit(bobs, "tool_called", tool="x")
    await call_in_thread(work_that_fails)
    entry = await call_in_thread(entry_of, "tool_called")
    assert (entry.tenant_id, entry.user_id) == (bobs.tenant_id, bobs.user_id)
    assert (entry.context_id, entry.request_id) == (bobs.context_id, bobs.request_id)
    assert await call_in_thread(broken, bobs.tenant_id) is None
    assert await call_in_thread(AuditEntry.objects.filter(action="rolled_back").count) == 0


async def test_an_entry_that_cannot_be_appended_is_a_typed_error(bobs, settings):
    settings.ASYNC_POOL_SIZE = 1
    async with (await async_pool()).connection() as pooled:
        process = pooled.info.backend_pid
    await call_in_thread(execute, "SELECT pg_terminate_backend(%s, 10000)", process)
    with pytest.raises(UnavailableError):
        await append_audit(bobs, "tool_called", tool="x")
    await append_audit(bobs, "tool_called", tool="y")
    assert (await call_in_thread(entry_of, "tool_called")).details == {"tool": "y"}
