"""Scopes: one transaction each, ended with it, and nothing left on the connection."""

import pytest
from django.db import connection

from agents.models import Thread
from contexts.context import UserExecutionContext
from contexts.database import async_pool, close_async_pool
from contexts.exceptions import ContextClosedError, QuarantinedError
from contexts.models import AuditEntry, Membership, Tenant
from contexts.scope import async_scope, claims_of, owner_scope, scope, system_scope
from tests.factories import make_cast, make_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P5")]


@pytest.fixture
def cast():
    cast = make_cast()
    make_thread(cast.alice, title="Alice's")
    make_thread(cast.carol, title="Carol's")
    return cast


def context_of(user):
    membership = user.memberships.get()
    return UserExecutionContext(
        user_id=user.id,
        tenant_id=membership.tenant_id,
        role=membership.role,
        tier="enterprise",
        operation="request",
    )


def titles():
    return set(Thread.objects.values_list("title", flat=True))


class PlannedError(Exception):
    """What goes wrong inside a scope."""


def fail_within(opened, act):
    with opened:
        act()
        raise PlannedError


def said():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('netra.scope', true), current_setting('netra.user_id', true)")
        return cursor.fetchone()


def test_a_scope_shows_the_contexts_own_rows(cast):
    with scope(context_of(cast.alice)):
        assert titles() == {"Alice's"}
    with scope(context_of(cast.carol)):
        assert titles() == {"Carol's"}


def test_nothing_of_a_scope_survives_on_the_connection(cast):
    before = said()
    with scope(context_of(cast.alice)):
        assert said() == ("user", str(cast.alice.id))
    after = said()
    assert after[0] == before[0] == "system"  # the tests' own default
    assert not after[1]
    assert claims_of(connection) is None


def test_an_error_rolls_back_everything_and_leaves_nothing(cast):
    with pytest.raises(PlannedError):
        fail_within(scope(context_of(cast.alice)), lambda: make_thread(cast.alice, title="New"))
    assert titles() == {"Alice's", "Carol's"}
    assert said()[0] == "system"
    assert claims_of(connection) is None


def test_within_a_scope_another_ends_where_it_was_opened(cast):
    with scope(context_of(cast.alice)):
        with owner_scope(user_id=cast.carol.id, tenant_id=cast.globex.id):
            assert titles() == {"Carol's"}
        assert titles() == {"Alice's"}
        seen = []
        with pytest.raises(PlannedError):
            fail_within(system_scope("look", always_audited=False), lambda: seen.extend(titles()))
        assert len(seen) == 2
        assert titles() == {"Alice's"}


def test_an_owner_without_a_tenant_sees_their_memberships_and_no_work(cast):
    with owner_scope(user_id=cast.alice.id):
        assert [membership.user_id for membership in Membership.objects.all()] == [cast.alice.id]
        assert [tenant.slug for tenant in Tenant.objects.all()] == ["acme"]
        assert titles() == set()


def test_an_outermost_scope_refuses_to_be_within_another(cast):
    context = context_of(cast.alice)
    with scope(context), pytest.raises(RuntimeError), scope(context, outermost=True):
        pass


def test_a_closed_context_opens_no_scope(cast):
    context = context_of(cast.alice)
    context.state.close()
    with pytest.raises(ContextClosedError), scope(context):
        pass


def test_a_quarantined_context_opens_no_scope(cast):
    context = context_of(cast.alice)
    context.state.quarantine("a test")
    with pytest.raises(QuarantinedError), scope(context):
        pass


def test_a_system_scope_is_audited_whatever_becomes_of_it(cast):
    seen = []
    with pytest.raises(PlannedError):
        fail_within(system_scope("find out", actor=cast.alice), lambda: seen.extend(titles()))
    assert set(seen) == {"Alice's", "Carol's"}
    entry = AuditEntry.objects.get(action="system_scope_opened")
    assert (entry.tenant_id, entry.user_id, entry.details) == (None, cast.alice.id, {"reason": "find out"})


def test_housekeeping_is_audited_when_it_wrote(cast):
    with system_scope("look around", always_audited=False):
        assert len(titles()) == 2
    assert not AuditEntry.objects.filter(action="system_scope_opened").exists()
    with system_scope("tidy up", always_audited=False):
        Thread.objects.filter(title="Carol's").delete()
    assert AuditEntry.objects.get(action="system_scope_opened").details == {"reason": "tidy up"}


async def test_an_asynchronous_scope_leaves_nothing_on_its_pooled_connection():
    pool = await async_pool()
    await pool.resize(1, 1)
    async with async_scope("event_log") as pooled:
        cursor = await pooled.execute("SELECT current_setting('netra.scope', true), pg_backend_pid()")
        kind, process = await cursor.fetchone()
        assert kind == "event_log"
    async with pool.connection() as pooled:
        cursor = await pooled.execute("SELECT current_setting('netra.scope', true), pg_backend_pid()")
        assert await cursor.fetchone() == ("system", process)  # the tests' own default
    await close_async_pool()
