"""Drawing on one reservation from many tasks."""

import asyncio
import random
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from contexts.database import call_in_thread, close_async_pool
from contexts.exceptions import ConflictError, FencedError, InvalidRequestError, QuotaExceededError
from contexts.metering import QuotaMeter
from contexts.models import QuotaEntry, QuotaOverride, QuotaReservation, QuotaUsage, TenantQuotaUsage
from contexts.quota_statements import Reservation
from contexts.quotas import draw_quota, fence_quota, release_quota, reserve_quota, settle_quota
from tests.contexts.quota_books import imbalances, member_of
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
LIMIT = 50_000


@pytest.fixture
async def member():
    """A member who may use 50,000 tokens a day; the pool of the test's loop is closed after it."""
    yield await call_in_thread(lambda: member_of(make_cast().carol))
    await close_async_pool()
    assert await call_in_thread(imbalances) == {}


@pytest.fixture
async def reservation(member) -> Reservation:
    return await call_in_thread(reserve_quota, member, {"agent_runs": 1}, purpose="run")


async def counted(resource="tokens"):
    def read():
        row = QuotaUsage.objects.filter(resource=resource).first()
        return (row.used, row.reserved) if row else (0, 0)

    return await call_in_thread(read)


async def everything():
    def read():
        tables = (QuotaUsage, TenantQuotaUsage, QuotaReservation, QuotaEntry)
        return [list(table.objects.order_by("pk").values()) for table in tables]

    return await call_in_thread(read)


async def test_what_is_put_back_is_used_or_taken_again(reservation):
    meter = QuotaMeter(reservation)
    taken = await meter.take({"tokens": 1_000, "cost_usd": Decimal("0.1")})
    assert await counted() == (0, 1_000)
    await meter.put_back(taken, {"tokens": 300, "cost_usd": Decimal("0.02")})
    assert await counted() == (300, 700)
    await meter.take({"tokens": 700})
    assert await counted() == (300, 700)  # without asking again
    await meter.take({"tokens": 1})
    assert await counted() == (300, 701)
    assert (meter.standing["tokens"].used, meter.standing["tokens"].reserved) == (300, 701)
    assert await call_in_thread(settle_quota, reservation, {"agent_runs": 1})
    assert await counted() == (300, 0)
    assert await counted("cost_usd") == (Decimal("0.02"), 0)


async def test_more_than_was_taken_counts_all_the_same(reservation):
    meter = QuotaMeter(reservation)
    await meter.put_back(await meter.take({"tokens": 100}), {"tokens": 60_000, "cpu_seconds": 0.25})
    assert await counted() == (60_000, 0)
    assert await counted("cpu_seconds") == (Decimal("0.25"), 0)
    with pytest.raises(QuotaExceededError):
        await meter.take({"tokens": 1})


async def test_a_refusal_leaves_what_there_was(reservation):
    meter = QuotaMeter(reservation)
    await meter.put_back(await meter.take({"tokens": 1_000}), {})
    with pytest.raises(QuotaExceededError) as refusal:
        await meter.take({"tokens": LIMIT + 1, "messages": 1})
    assert refusal.value.resource == "tokens"
    assert await counted() == (0, 1_000)
    assert await counted("messages") == (0, 0)
    await meter.take({"tokens": LIMIT})
    assert await counted() == (0, LIMIT)


async def test_as_much_as_there_is_left(reservation):
    meter = QuotaMeter(reservation)
    await meter.put_back(await meter.take({"tokens": 40_000}), {"tokens": 30_000})
    taken = await meter.take_up_to("tokens", 100_000)
    assert taken == {"tokens": 20_000}
    assert await counted() == (30_000, 20_000)
    with pytest.raises(QuotaExceededError):
        await meter.take_up_to("tokens", 5)
    assert await meter.take_up_to("agent_runs", 3) == {"agent_runs": 3}


async def test_a_reservation_that_has_ended_gives_nothing(reservation):
    meter = QuotaMeter(reservation)
    await call_in_thread(release_quota, reservation)
    with pytest.raises(ConflictError):
        await meter.take({"tokens": 1})
    assert await counted() == (0, 0)


@pytest.mark.parametrize("amount", [-1, Decimal("NaN"), float("inf"), True, "5", 0.5])
async def test_impossible_amounts_are_neither_taken_nor_put_back(reservation, amount):
    meter = QuotaMeter(reservation)
    with pytest.raises(InvalidRequestError):
        await meter.take({"tokens": amount})
    taken = await meter.take({"tokens": 1})
    with pytest.raises(InvalidRequestError):
        await meter.put_back(taken, {"tokens": amount})
    assert await counted() == (0, 1)


async def test_many_tasks_take_and_put_back_exactly(reservation):
    meter = QuotaMeter(reservation)
    used = []

    async def work(number):
        chance = random.Random(number)
        for _ in range(10):
            try:
                taken = await meter.take({"tokens": chance.choice([100, 900]), "cpu_seconds": 1})
            except QuotaExceededError:
                continue
            actual = chance.randrange(120)
            await meter.put_back(taken, {"tokens": actual, "cpu_seconds": 0.01})
            used.append(actual)

    await asyncio.gather(*(work(number) for number in range(30)))
    assert (await counted())[0] == sum(used)
    assert (await counted("cpu_seconds"))[0] == Decimal("0.01") * len(used)
    assert await call_in_thread(release_quota, reservation)
    assert (await counted())[1] == (await counted("cpu_seconds"))[1] == 0


async def test_two_meters_never_pass_the_limit_together(member):
    def prepare():
        QuotaOverride.objects.create(tenant_id=member.tenant_id, resource="tokens", limit=50, reason="a test")
        return [reserve_quota(member, {"agent_runs": 1}) for _ in range(2)]

    meters = [QuotaMeter(each) for each in await call_in_thread(prepare)]

    async def take(number):
        try:
            await meters[number % 2].take({"tokens": 1})
        except QuotaExceededError:
            return 0
        return 1

    assert sum(await asyncio.gather(*(take(number) for number in range(120)))) == 50
    assert await counted() == (0, 50)


async def test_what_the_dead_had_reserved_is_taken(member, reservation):
    def abandon():
        dead = reserve_quota(member, {"tokens": LIMIT})
        QuotaReservation.objects.filter(id=dead.id).update(expires_at="2026-01-01T00:00Z")

    await call_in_thread(abandon)
    await QuotaMeter(reservation).take({"tokens": LIMIT})
    assert await counted() == (0, LIMIT)


async def test_a_task_that_is_cancelled_while_it_waits_keeps_the_books(reservation):
    meter = QuotaMeter(reservation)
    await meter.put_back(await meter.take({"tokens": 10}), {})
    for _ in range(20):
        task = asyncio.create_task(meter.take({"tokens": 30}))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await call_in_thread(imbalances) == {}
    assert await call_in_thread(release_quota, reservation)
    assert await counted() == (0, 0)


async def test_what_is_used_after_the_end_is_logged_and_not_counted(reservation, caplog):
    meter = QuotaMeter(reservation)
    taken = await meter.take({"tokens": 50})
    assert await call_in_thread(release_quota, reservation)
    await meter.put_back(taken, {"tokens": 30})
    assert await counted() == (0, 0)
    assert f"reservation {reservation.id} had ended" in caplog.text
    assert "30 tokens" in caplog.text


@pytest.mark.mission_critical("P3")
async def test_an_attempt_that_lost_its_reservation_to_a_later_one_changes_nothing(reservation, caplog):
    old, new = (QuotaMeter(replace(reservation, fence=attempt)) for attempt in (1, 2))
    assert await call_in_thread(fence_quota, reservation, 1)
    taken = await old.take({"tokens": LIMIT - 10, "cpu_seconds": 2})
    await old.put_back({}, {"tokens": 10})
    with pytest.raises(FencedError):
        await new.take({"tokens": 1})  # it is not its turn yet

    # What the old one had set aside would leave the new one nothing.
    assert await call_in_thread(partial(fence_quota, reservation, 2, frees=["tokens", "cpu_seconds"]))
    assert await counted() == (10, 0)
    assert await counted("cpu_seconds") == (0, 0)
    assert await counted("agent_runs") == (0, 1)
    assert not await call_in_thread(fence_quota, reservation, 1)
    mine = await new.take({"tokens": LIMIT - 10})

    before = await everything()
    await old.put_back(taken, {"tokens": 700})
    assert "700 tokens" in caplog.text
    with pytest.raises(FencedError):
        await old.take({"tokens": LIMIT})
    with pytest.raises(FencedError):
        await old.take_up_to("cpu_seconds", 2)
    assert not await call_in_thread(draw_quota, old.reservation, {"cpu_seconds": 1})
    assert not await call_in_thread(settle_quota, old.reservation, {"agent_runs": 1})
    assert not await call_in_thread(release_quota, old.reservation)
    assert await everything() == before

    await new.put_back(mine, {"tokens": 300})
    assert await call_in_thread(settle_quota, new.reservation, {"agent_runs": 1})
    assert await counted() == (310, 0)
    # When the reservation has gone, the old one learns as much.
    with pytest.raises(ConflictError):
        await old.take({"cpu_seconds": 1})
    await old.put_back(taken, {"tokens": 700})
    assert await counted() == (310, 0)
