"""Runs in line when operators raise a limit: admitted at once, in whose tenant it was."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.admission_changes import admit_after_changes
from agents.models import Run
from contexts.changes import LISTENING, get_change_listener
from contexts.database import call_in_thread
from contexts.models import QuotaOverride, Tenant, Tier, TierLimit
from tests.agents.running import ask
from tests.factories import Cast, make_cast, make_membership, make_tenant, make_user
from tests.waiting import eventually

pytestmark = [pytest.mark.mission_critical("P7")]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Return the usual cast, with no job of an earlier test."""
    ProcrastinateJob.objects.all().delete()
    return make_cast()


@pytest.fixture
async def listening(cast: Cast) -> AsyncIterator[list[Any]]:
    """Listen as a worker does; yield the changes that were carried out."""
    done: list[Any] = []

    async def receive(changes: frozenset[Any]) -> None:
        await admit_after_changes(changes)
        done.extend(changes)

    subscription = get_change_listener().subscribe(receive)
    await eventually(lambda: LISTENING in done)
    yield done
    await get_change_listener().unsubscribe(subscription)


def waiting(run_ids: list[UUID]) -> int:
    return Run.objects.filter(id__in=run_ids, job_id=None).count()


@pytest.mark.parametrize("how", ["override", "tier", "limit"])
async def test_a_raised_limit_lets_waiting_runs_in(cast: Cast, listening: list[Any], how: str) -> None:
    def raise_it() -> None:
        if how == "override":
            QuotaOverride.objects.create(
                tenant=cast.globex, resource="concurrent_runs", limit=2, reason="A test."
            )
        elif how == "tier":
            Tenant.objects.filter(id=cast.globex.id).update(tier=Tier.objects.get(slug="early"))
        else:
            TierLimit.objects.filter(tier__slug="free", resource="concurrent_runs").update(limit=4)

    runs = [await call_in_thread(ask, cast.carol, f"Question {number}") for number in range(4)]
    assert await call_in_thread(waiting, runs) == 3
    await call_in_thread(raise_it)
    left = {"override": 2, "tier": 1, "limit": 0}[how]
    await eventually(lambda: waiting(runs) == left)


async def test_another_tenants_line_is_let_be(cast: Cast, listening: list[Any]) -> None:
    initech = await call_in_thread(make_tenant, "initech", "free")
    dave = await call_in_thread(make_user, "dave")
    await call_in_thread(make_membership, dave, initech)
    carols = [await call_in_thread(ask, cast.carol, f"Question {number}") for number in range(2)]
    daves = [await call_in_thread(ask, dave, f"Question {number}") for number in range(2)]
    await call_in_thread(Tenant.objects.filter(id=initech.id).update, tier_id=cast.acme.tier_id)
    await eventually(lambda: waiting(daves) == 0)
    assert await call_in_thread(waiting, carols) == 1
