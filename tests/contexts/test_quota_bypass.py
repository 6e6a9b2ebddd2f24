"""Ways around a quota that people try: none of them gets more than the limit, or at another's."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import psycopg
import pytest
from django.db import connection

from contexts.exceptions import InvalidRequestError, LimitError, QuotaExceededError, RateLimitedError
from contexts.models import EntryKind, QuotaEntry, QuotaReservation, QuotaUsage, TierLimit
from contexts.quota_statements import granted, use_statement
from contexts.quotas import (
    draw_quota,
    expire_quotas,
    extend_quota,
    give_back_quota,
    quotas_of,
    release_quota,
    renew_quotas,
    reserve_quota,
    settle_quota,
    use_quota,
)
from contexts.resources import RULES
from contexts.windows import EPOCH, window_end, window_start
from tests.contexts.quota_books import at_once, imbalances, member_of
from tests.factories import make_cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
NOW = datetime(2026, 3, 31, 23, 59, 59, 999_999, tzinfo=UTC)
LATER = NOW + timedelta(microseconds=1)


@pytest.fixture
def cast(transactional_db):
    return make_cast()


@pytest.fixture
def carol(cast):
    """A member on the free tier: 10 runs a day, 30 messages a minute."""
    return member_of(cast.carol)


@pytest.fixture(autouse=True)
def the_books_balance(transactional_db):
    """Check them after every test."""
    yield
    assert imbalances() == {}


def succeeds(service, *arguments, **options):
    try:
        service(*arguments, **options)
    except LimitError:
        return False
    return True


# -- at the same time, and around the edges of time


@pytest.mark.parametrize("service", [reserve_quota, use_quota])
def test_the_first_requests_of_an_unknown_user_are_counted_together(carol, service):
    for moment in (NOW, LATER):
        # No counter is there yet, and each makes it.
        answers = at_once(
            lambda _, moment=moment: succeeds(service, carol, {"agent_runs": 1, "tokens": 5}, now=moment),
            range(40),
            threads=12,
        )
        assert answers.count(True) == 10
    assert QuotaUsage.objects.filter(resource="agent_runs").count() == 2


def test_the_windows_edge_gives_each_side_its_own_and_no_more(carol):
    moments = [NOW, LATER] * 40
    answers = at_once(lambda now: (now, succeeds(use_quota, carol, {"messages": 1}, now=now)), moments)
    assert [answers.count((moment, True)) for moment in (NOW, LATER)] == [30, 30]
    # A clock that is put back finds the old window as full as it was.
    with pytest.raises(RateLimitedError) as refusal:
        use_quota(carol, {"messages": 1}, now=NOW)
    assert refusal.value.resets_at == LATER


def test_what_was_reserved_before_the_edge_is_charged_before_it(carol):
    reservation = reserve_quota(carol, {"agent_runs": 10}, now=NOW)
    reserve_quota(carol, {"agent_runs": 10}, now=LATER)
    settle_quota(reservation, {"agent_runs": 10}, now=LATER)
    for moment in (NOW, LATER):
        with pytest.raises(QuotaExceededError):
            use_quota(carol, {"agent_runs": 1}, now=moment)


@pytest.mark.parametrize(
    "zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "Europe/Berlin"]
)
def test_windows_begin_by_utc_wherever_the_session_is(carol, zone):
    moments = [
        NOW,
        LATER,
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 59, tzinfo=UTC),
    ]
    elsewhere = timezone(timedelta(hours=14))
    parameters = connection.get_connection_params()
    for name in ("cursor_factory", "context"):
        parameters.pop(name)
    # A connection of its own: Django's reads every time as UTC.
    with psycopg.connect(**parameters) as session:
        session.execute("SELECT set_config('TimeZone', %s, false)", [zone])
        for resource, rule in RULES.items():
            for moment in moments:
                row = session.execute("SELECT netra_window_start(%s, %s)", [resource, moment]).fetchone()
                assert row == (window_start(rule.window, now=moment),)
        granted(session.execute(*use_statement(carol, {"agent_runs": 10}, now=NOW)).fetchall())
        again = session.execute(*use_statement(carol, {"agent_runs": 1}, now=NOW.astimezone(elsewhere)))
        with pytest.raises(QuotaExceededError) as refusal:
            granted(again.fetchall())
    assert refusal.value.resets_at == LATER
    assert quotas_of(carol, now=NOW.astimezone(elsewhere))["agent_runs"].used == 10
    assert quotas_of(carol, now=LATER)["agent_runs"].used == 0


@pytest.mark.parametrize("resource", ["messages", "agent_runs", "cost_usd"])
def test_windows_follow_each_other_without_gap_or_overlap(resource):
    window = RULES[resource].window
    starts = [datetime(2026, 2, 27, tzinfo=UTC)]
    for _ in range(40):
        starts.append(window_end(window, now=starts[-1]))
    for start, end in pairwise(starts[1:]):
        last = end - timedelta(microseconds=1)
        assert window_start(window, now=start) == window_start(window, now=last) == start
        assert window_start(window, now=end) == end


# -- amounts


IMPOSSIBLE = [
    -1,
    -0.000001,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    float("inf"),
    float("nan"),
    10**15,
    10**4_000,
    True,
    "5",
    "many",
    None,
    [1],
    (0, (1,), 0),
]


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize("amount", IMPOSSIBLE, ids=lambda amount: repr(amount)[:12])
def test_impossible_amounts_change_nothing(carol, amount):
    reservation = reserve_quota(carol, {"agent_runs": 1})
    before = list(QuotaEntry.objects.values_list("id", flat=True))
    for resource in ("tokens", "cost_usd"):
        for refused in (
            lambda amounts: reserve_quota(carol, amounts),
            lambda amounts: use_quota(carol, amounts),
            lambda amounts: extend_quota(reservation, amounts),
            lambda amounts: draw_quota(reservation, amounts),
            lambda amounts: settle_quota(reservation, amounts),
            lambda amounts: give_back_quota(
                user_id=carol.user_id,
                tenant_id=carol.tenant_id,
                resource=next(iter(amounts)),
                amount=next(iter(amounts.values())),
                window_start=EPOCH,
            ),
        ):
            with pytest.raises(InvalidRequestError):
                refused({resource: amount})
    assert list(QuotaEntry.objects.values_list("id", flat=True)) == before
    assert QuotaReservation.objects.count() == 1


@pytest.mark.parametrize(
    "amounts", [{"gold": 1}, {"": 1}, {"tokens ": 1}, {"tokens": 0.5}, {"tokens": 1, "gold": 1}, {5: 1}]
)
def test_what_is_not_counted_so_is_refused(carol, amounts):
    with pytest.raises(InvalidRequestError):
        use_quota(carol, amounts)
    assert not QuotaEntry.objects.exists()


def test_crumbs_are_rounded_up(carol):
    TierLimit.objects.filter(tier__slug="free", resource="cost_usd").update(limit=Decimal("0.00001"))
    answers = [succeeds(use_quota, carol, {"cost_usd": Decimal("1e-30")}, now=NOW) for _ in range(12)]
    assert answers.count(True) == 10


def test_a_huge_amount_is_refused_by_the_limit_and_not_by_an_overflow(carol):
    for resource in RULES:
        with pytest.raises((QuotaExceededError, RateLimitedError)) as refusal:
            use_quota(carol, {resource: 10**15 - 1}, now=NOW)
        assert refusal.value.resource == resource
    reservation = reserve_quota(carol, {"tokens": 1}, now=NOW)
    for _ in range(3):
        draw_quota(reservation, {"tokens": 10**15 - 1}, now=NOW)
    assert quotas_of(carol, resources=["tokens"], now=NOW)["tokens"].remaining == 0


# -- what was used stays used


def test_a_crash_between_reserving_and_settling_keeps_what_was_used(carol):
    reservation = reserve_quota(carol, {"agent_runs": 1, "tokens": 50_000}, timedelta(seconds=5), now=NOW)
    draw_quota(reservation, {"tokens": 20_000, "agent_runs": 1}, now=NOW)
    after = NOW + timedelta(seconds=5)
    assert not renew_quotas([reservation.id], now=after)
    assert expire_quotas(tenant_id=carol.tenant_id, now=after) == 1
    standing = quotas_of(carol, resources=["agent_runs", "tokens"], now=NOW)
    assert [(quota.used, quota.reserved) for quota in standing.values()] == [(1, 0), (20_000, 0)]
    # Whoever comes back from the dead settles nothing twice.
    assert not settle_quota(reservation, {"tokens": 50_000}, now=after)
    assert not release_quota(reservation)


def test_ending_a_reservation_many_times_at_once_refunds_it_once(carol):
    use_quota(carol, {"tokens": 10_000}, now=NOW)
    reservation = reserve_quota(carol, {"tokens": 10_000}, now=NOW)
    enders = [
        lambda: release_quota(reservation),
        lambda: settle_quota(reservation, {"tokens": 7}),
        lambda: bool(expire_quotas(tenant_id=carol.tenant_id, now=NOW + timedelta(days=1))),
    ] * 8
    at_once(lambda end: end(), enders, threads=12)
    ends = QuotaEntry.objects.filter(reservation_id=reservation.id).exclude(kind=EntryKind.RESERVED)
    assert ends.count() == 1
    assert QuotaUsage.objects.get(resource="tokens").reserved == 0


def test_an_extension_that_races_the_end_leaves_nothing_reserved(carol):
    for _ in range(10):
        reservation = reserve_quota(carol, {"tokens": 10}, now=NOW)
        at_once(
            lambda do: do(),
            [
                lambda reservation=reservation: extend_quota(reservation, {"tokens": 5}, now=NOW),
                lambda reservation=reservation: release_quota(reservation),
                lambda reservation=reservation: draw_quota(reservation, {"tokens": 1}, now=NOW),
            ],
            threads=3,
        )
    assert not QuotaReservation.objects.exists()
    assert QuotaUsage.objects.get(resource="tokens").reserved == 0
