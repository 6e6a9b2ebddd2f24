"""Plain functions that make what tests need in the database: tenants, users and what they own.

The usual cast: alice (owner) and bob (member) of acme on the enterprise tier, carol (member) of
globex on the free tier; carol is the outsider of every scoped read.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID

from agents.models import Author, Dataset, Message, Run, RunEvent, Thread
from contexts.models import Membership, Role, Tenant, Tier, TierLimit, User

PASSWORD = "netra-tests-secret-7"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """The people of most tests."""

    acme: Tenant
    globex: Tenant
    alice: User
    bob: User
    carol: User


def make_tenant(slug: str, tier: str = "enterprise", **fields: Any) -> Tenant:
    """Make a tenant on the tier with that slug (free, early, mid or enterprise)."""
    fields.setdefault("name", slug.capitalize())
    return Tenant.objects.create(slug=slug, tier=_tier(tier), **fields)


def make_user(username: str, tenant: Tenant | None = None, role: str = Role.MEMBER, **fields: Any) -> User:
    """Make a user with the password `PASSWORD`, a member of `tenant` when one is given."""
    password = fields.pop("password", PASSWORD)
    user = User.objects.create_user(username=username, password=password, **fields)
    if tenant is not None:
        make_membership(user, tenant, role)
    return user


def make_membership(user: User, tenant: Tenant, role: str = Role.MEMBER) -> Membership:
    """Make the user a member of the tenant."""
    return Membership.objects.create(user=user, tenant=tenant, role=role)


def make_cast() -> Cast:
    """Make alice and bob of acme, and carol of globex."""
    acme, globex = make_tenant("acme", "enterprise"), make_tenant("globex", "free")
    return Cast(
        acme=acme,
        globex=globex,
        alice=make_user("alice", acme, Role.OWNER),
        bob=make_user("bob", acme, Role.MEMBER),
        carol=make_user("carol", globex, Role.MEMBER),
    )


def make_thread(user: User, tenant: Tenant | None = None, **fields: Any) -> Thread:
    """Make a thread of the user, in the tenant given or the one they joined first."""
    return Thread.objects.create(user=user, tenant_id=_tenant_id(user, tenant), **fields)


def make_run(thread: Thread, **fields: Any) -> Run:
    """Make a run on the thread; queued unless a status is given."""
    fields.setdefault("text", "Where does our AI spend go?")
    return Run.objects.create(thread=thread, tenant_id=thread.tenant_id, user_id=thread.user_id, **fields)


def make_message(thread: Thread, text: str = "Hello.", author: str = Author.USER, **fields: Any) -> Message:
    """Make a message in the thread."""
    return Message.objects.create(
        thread=thread, tenant_id=thread.tenant_id, user_id=thread.user_id, text=text, author=author, **fields
    )


def make_event(run: Run, seq: int, type: str, **fields: Any) -> RunEvent:
    """Write one event row of the run, numbered `seq`."""
    fields.setdefault("agent_name", "triage")
    return RunEvent.objects.create(
        run=run,
        seq=seq,
        type=type,
        tenant_id=run.tenant_id,
        user_id=run.user_id,
        thread_id=run.thread_id,
        **fields,
    )


def make_dataset(user: User, tenant: Tenant | None = None, **fields: Any) -> Dataset:
    """Make a dataset's row (no Parquet file) that the user gave their tenant."""
    values = {
        "name": "Traffic",
        "filename": "traffic.csv",
        "format": "azure_trace",
        "assumed_model": "gpt-4o",
        "names_models": False,
        "rows": 3,
        "requests": 3,
        "input_tokens": 300,
        "output_tokens": 30,
        "stored_bytes": 1_000,
        "first_at": datetime(2026, 1, 1, tzinfo=UTC),
        "last_at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return Dataset.objects.create(user=user, tenant_id=_tenant_id(user, tenant), **{**values, **fields})


def _tier(slug: str) -> Tier:
    # Tests with transactions of their own empty every table afterwards, the migrated tiers' too.
    if not Tier.objects.exists():
        limits = import_module("contexts.migrations.0002_default_tiers").LIMITS
        for rank, (name, weight) in enumerate({"free": 1, "early": 2, "mid": 4, "enterprise": 8}.items()):
            tier = Tier.objects.create(slug=name, name=name.capitalize(), rank=rank, weight=weight)
            TierLimit.objects.bulk_create(
                TierLimit(tier=tier, resource=resource, limit=by_tier[rank])
                for resource, (_, by_tier) in limits.items()
            )
    return Tier.objects.get(slug=slug)


def _tenant_id(user: User, tenant: Tenant | None) -> UUID:
    if tenant is not None:
        return tenant.id
    tenant_id: UUID = user.memberships.order_by("created_at", "id").values_list("tenant_id", flat=True)[0]
    return tenant_id
