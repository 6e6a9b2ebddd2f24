"""Nobody uses, frees or changes the quota of somebody else, whatever name they give."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.db import IntegrityError, ProgrammingError, transaction
from django.urls import reverse

from contexts.factory import UserContextFactory, managed_user_context
from contexts.identifiers import new_id
from contexts.models import QuotaEntry, QuotaReservation, QuotaUsage, TierLimit, User
from contexts.quota_statements import Reservation
from contexts.quotas import (
    draw_quota,
    expire_quotas,
    extend_quota,
    fence_quota,
    give_back_quota,
    quotas_of,
    renew_quotas,
    reserve_quota,
    settle_quota,
    use_quota,
)
from contexts.scope import owner_scope, scope
from contexts.windows import EPOCH
from tests.contexts.quota_books import Member, imbalances, member_of
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]


@pytest.fixture
def cast(transactional_db):
    """Alice and bob of acme, and carol of globex."""
    yield make_cast()
    assert imbalances() == {}


@pytest.fixture
def carol(cast):
    return member_of(cast.carol)


@pytest.mark.mission_critical("P5")
def test_within_a_scope_no_other_tenants_quota_is_changed(cast, carol):
    held = reserve_quota(carol, {"agent_runs": 10})
    use_quota(carol, {"tokens": 100, "storage_bytes": 100})
    before = QuotaReservation.objects.get().expires_at
    attempts = [
        lambda: reserve_quota(carol, {"agent_runs": 1}),
        lambda: use_quota(carol, {"tokens": 1}),
        lambda: extend_quota(held, {"tokens": 1}),
        lambda: draw_quota(held, {"agent_runs": 1}),
        lambda: settle_quota(held, {}),
        lambda: fence_quota(held, 9),
        lambda: expire_quotas(tenant_id=carol.tenant_id, now=datetime.now(UTC) + timedelta(days=1)),
        lambda: give_back_quota(
            user_id=carol.user_id,
            tenant_id=carol.tenant_id,
            resource="storage_bytes",
            amount=100,
            window_start=EPOCH,
        ),
    ]
    with managed_user_context(UserContextFactory().for_request(cast.alice.id)) as alice:
        for attempt in attempts:
            with pytest.raises(ProgrammingError, match="Another tenant's quota"), scope(alice):
                attempt()
        with scope(alice):
            assert renew_quotas([held.id], ttl=timedelta(days=9)) == set()
            # Naming her own tenant does not make it hers.
            mine = Reservation(id=held.id, tenant_id=alice.tenant_id, user_id=alice.user_id)
            assert not settle_quota(mine, {})
            assert not fence_quota(mine, 9)
            assert not extend_quota(mine, {"tokens": 1})
            assert quotas_of(carol, resources=["tokens"])["tokens"].used == 0  # she sees nothing of it
    with owner_scope(user_id=cast.alice.id), pytest.raises(ProgrammingError):
        use_quota(carol, {"tokens": 1})
    assert QuotaReservation.objects.get().expires_at == before
    assert quotas_of(carol, resources=["agent_runs"])["agent_runs"].reserved == 10


def test_a_user_who_is_not_there_has_no_quota(cast):
    for tenant_id, user_id in ((new_id(), cast.carol.id), (cast.globex.id, new_id()), (new_id(), new_id())):
        nobody = Member(tenant_id=tenant_id, user_id=user_id)
        with pytest.raises(IntegrityError, match="violates foreign key"), transaction.atomic():
            use_quota(nobody, {"tokens": 1})
    assert not QuotaEntry.objects.exists()


def test_a_reservation_of_a_colleague_is_not_extended(cast):
    alice, bob = member_of(cast.alice), member_of(cast.bob)
    held = reserve_quota(bob, {"agent_runs": 1})
    forged = Reservation(id=held.id, tenant_id=alice.tenant_id, user_id=alice.user_id)
    assert not extend_quota(forged, {"tokens": 1})
    assert not QuotaUsage.objects.filter(resource="tokens").exists()


QUOTA_PAGES = [model for model in admin.site._registry if model._meta.app_label == "contexts"]


@pytest.mark.mission_critical("P5")
@pytest.mark.parametrize("username", ["alice", "carol", None])
@pytest.mark.parametrize("kind", ["changelist", "add"])
def test_members_reach_no_page_of_the_staff(client, cast, username, kind):
    if username is not None:
        client.force_login(
            User.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend"
        )
    limits = sorted(TierLimit.objects.values_list("id", "limit"))
    for model in QUOTA_PAGES:
        address = reverse(f"admin:contexts_{model._meta.model_name}_{kind}")
        for answer in (client.get(address), client.post(address, {"limit": 10**9, "amount": 10**9})):
            assert answer.status_code == 302, (address, answer.status_code)
            assert answer.url.startswith("/admin/login/")
    assert sorted(TierLimit.objects.values_list("id", "limit")) == limits
