"""People with a row of everything that Netra keeps of people, for tests of export and erasure."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

from allauth.account.models import EmailAddress
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection

from agents.models import Author, Chart, Dataset, Run, RunStatus, RunStep, ToolCall
from contexts.audit import record_system_audit
from contexts.models import (
    ContextRecord,
    Membership,
    QuotaGrant,
    QuotaOverride,
    SecurityIncident,
    SocketTicket,
    User,
)
from contexts.operators import record_staff_change
from contexts.quotas import reserve_quota, use_quota
from contexts.resources import Resource
from contexts.scope import system_scope
from contexts.tokens import issue_tokens
from tests.contexts.quota_books import member_of
from tests.factories import make_dataset, make_event, make_message, make_run, make_thread

PARQUET = b"PAR1 not really PAR1"


def live(user: User, *, by: User) -> Run:
    """Have `user` leave something of every kind in their first tenant; `by` is staff that deals with it."""
    User.objects.filter(id=user.id).update(
        email=f"{user.username}@example.org", first_name=user.username.title(), last_name="Archer"
    )
    user.refresh_from_db()
    tenant = user.memberships.order_by("created_at").first().tenant
    owner = {"tenant": tenant, "user": user}
    now = datetime.now(UTC)
    run = _work(user)
    EmailAddress.objects.create(user=user, email=user.email, primary=True)
    user.groups.add(Group.objects.order_by("name").first())
    _sign_in(user)
    use_quota(member_of(user), {"tokens": 300})
    reserve_quota(member_of(user), {"tokens": 70, "concurrent_runs": 1}, timedelta(hours=1))
    adjustment = {**owner, "resource": Resource.TOKENS, "reason": f"{user.username} asked", "created_by": by}
    QuotaOverride.objects.create(**adjustment, limit=1_000_000)
    QuotaGrant.objects.create(**adjustment, amount=1_000, window_start=now)
    ContextRecord.objects.create(
        **owner,
        id=uuid4(),
        operation="run",
        host="h",
        process_id=1,
        process_started_at=now,
        expires_at=now + timedelta(hours=1),
    )
    identities = [{"user_id": str(user.id), "tenant_id": str(tenant.id)}]
    SecurityIncident.objects.create(kind="canary", detector="on_demand", blocked=True, contexts=identities)
    with system_scope("a test", always_audited=False):
        _be_audited(user, by)
    LogEntry.objects.create(
        user=by,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.id),
        object_repr=user.username,
        action_flag=CHANGE,
    )
    return run


def store(user: User, **fields: object) -> Dataset:
    """Have `user` give their tenant a dataset with a file, counted as storage."""
    dataset = make_dataset(user, stored_bytes=len(PARQUET), **fields)
    dataset.path.parent.mkdir(parents=True, exist_ok=True)
    dataset.path.write_bytes(PARQUET)
    use_quota(member_of(user), {"storage_bytes": len(PARQUET)})
    return dataset


def _work(user: User) -> Run:
    thread = make_thread(user, title=f"{user.username}'s spend")
    run = make_run(thread, status=RunStatus.COMPLETED, finished_at=datetime.now(UTC))
    make_message(thread, f"I am {user.username}.", run=run)
    make_message(thread, "Hello.", Author.ASSISTANT, run=run)
    make_event(run, 1, "run_queued", data={"text": f"I am {user.username}."})
    make_event(run, 2, "agent_completed")
    owner = {"run": run, "tenant_id": run.tenant_id, "user_id": run.user_id}
    Chart.objects.create(**owner, title="Spend", alt_text="Spend", svg="<svg>of a chart</svg>")
    ToolCall.objects.create(**owner, call_id="c", tool_name="query", params={"sql": "SELECT 1"})
    RunStep.objects.create(**owner, name="0.model.0", attempt=1, content='{"secret": "sk-not-to-export"}')
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
            "VALUES ('runs', 'execute_run', jsonb_build_object('user_id', %s::text), 'succeeded')",
            [str(user.id)],
        )
    store(user)
    return run


def _sign_in(user: User) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    issue_tokens(user)
    SocketTicket.objects.create(
        digest=sha256(user.username.encode()).digest(), user=user, expires_at=soon, signed_in_until=soon
    )
    session = SessionStore()
    session[SESSION_KEY] = str(user.id)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.create()


def _be_audited(user: User, by: User) -> None:
    tenant_id = user.memberships.order_by("created_at").first().tenant_id
    record_system_audit(
        "tool_called", tenant_id=tenant_id, user_id=user.id, tool="query", params={"q": f"by {user.username}"}
    )
    membership = Membership.objects.filter(user=user).first()
    assert membership is not None
    record_staff_change(by, membership, before={"role": "viewer"}, after={"role": "member"})
    record_staff_change(by, user, before={"username": user.username}, after={"username": user.email})
    record_system_audit(
        "quota_reset", tenant_id=tenant_id, user_id=by.id, member=str(user.id), reason="asked"
    )
