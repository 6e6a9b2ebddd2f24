"""Whatever is done to quotas in whatever order, the database's books agree with a simple model."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import (
    booleans,
    decimals,
    dictionaries,
    integers,
    none,
    one_of,
    sampled_from,
    sets,
)

from contexts.exceptions import FencedError, LimitError
from contexts.identifiers import new_id
from contexts.models import QuotaGrant, QuotaOverride, QuotaUsage, Tenant, Tier, TierLimit
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
from contexts.resources import RULES
from contexts.windows import window_start
from tests.contexts.quota_books import imbalances, member_of
from tests.factories import make_tenant, make_user

# What a member and all members of a tenant may have on the two tiers; tokens count by the day.
LIMITS = {
    "tokens": {"free": (5, 8), "early": (9, None)},
    "cost_usd": {"free": (Decimal("0.5"), None), "early": (Decimal(1), Decimal("1.5"))},
    "storage_bytes": {"free": (5, 6), "early": (9, 12)},
}
choices = integers(0, 9)
amounts = dictionaries(sampled_from(list(LIMITS)), integers(0, 4), min_size=1)
# By how many attempts whoever draws on a reservation is off its fence; none: they are not checked.
lags = sampled_from([None, 0, 0, 1, -1])
fractions = decimals(0, Decimal("0.4"), places=6)
numbers = count()


@dataclass
class Counter:
    """What one member has used and reserved of a resource in a window."""

    used: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)


@dataclass
class Held:
    """An open reservation."""

    user: int
    expires_at: datetime
    lines: dict[tuple[str, datetime], Decimal] = field(default_factory=dict)
    fence: int = 0


@dataclass
class Adjusted:
    """An override or a grant."""

    user: int | None
    resource: str
    amount: Decimal
    expires_at: datetime | None
    start: datetime | None = None


class QuotaBooks(RuleBasedStateMachine):
    """Two members of one tenant use what they may while time passes and operators change the limits."""

    def __init__(self):
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.now = datetime(2026, 1, 30, 22, tzinfo=UTC)
        self.tier = "free"
        tenant = make_tenant(f"tenant{next(numbers)}", "free")
        self.tenant_id = tenant.id
        self.members = [member_of(make_user(f"{name}{tenant.slug}", tenant)) for name in ("ann", "ben")]
        for resource, tiers in LIMITS.items():
            for slug, (limit, for_all) in tiers.items():
                rows = TierLimit.objects.filter(tier__slug=slug, resource=resource)
                assert rows.update(limit=limit, tenant_limit=for_all) == 1
        self.counters = defaultdict(Counter)
        self.made = []
        self.held = {}
        self.overrides = []
        self.overrides_for_all = []
        self.grants = []

    def teardown(self):
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    # What members do.

    @rule(user=booleans(), asked=amounts, cost=fractions, seconds=integers(0, 7_200))
    def reserve(self, user, asked, cost, seconds):
        self.try_to_reserve(user, self.with_cost(asked, cost), timedelta(seconds=seconds))

    def try_to_reserve(self, user, asked, ttl):
        expected = self.expect(user, asked)
        try:
            made = reserve_quota(self.members[user], asked, ttl, now=self.now)
        except LimitError as refusal:
            self.check_refusal(refusal, expected)
            return
        assert expected is None
        lines = {self.key(name): amount for name, amount in asked.items()}
        self.held[made.id] = Held(user=user, expires_at=self.now + ttl, lines=lines)
        for name, amount in asked.items():
            self.counter(user, name).reserved += amount
        self.made.append(made.id)
        self.check_granted(user, asked)

    @rule(user=booleans(), asked=amounts, cost=fractions)
    def use(self, user, asked, cost):
        asked = self.with_cost(asked, cost)
        expected = self.expect(user, asked)
        try:
            use_quota(self.members[user], asked, now=self.now)
        except LimitError as refusal:
            self.check_refusal(refusal, expected)
            return
        assert expected is None
        for name, amount in asked.items():
            self.counter(user, name).used += amount
        self.check_granted(user, asked)

    @rule(number=choices, asked=amounts, cost=fractions, lag=lags)
    def extend(self, number, asked, cost, lag):
        identifier = self.pick(number)
        asked = self.with_cost(asked, cost)
        held, reservation = self.held.get(identifier), self.reservation(identifier, lag)
        if held and lag:
            with pytest.raises(FencedError):
                extend_quota(reservation, asked, now=self.now)
            return
        expected = self.expect(held.user, asked) if held else None
        try:
            extended = extend_quota(reservation, asked, now=self.now)
        except LimitError as refusal:
            self.check_refusal(refusal, expected)
            return
        # Making room may have ended this very reservation.
        assert extended == (identifier in self.held)
        if not extended:
            return
        assert expected is None
        for name, amount in asked.items():
            held.lines[self.key(name)] = held.lines.get(self.key(name), 0) + amount
            self.counter(held.user, name).reserved += amount
        self.check_granted(held.user, asked)

    @rule(number=choices, actual=amounts, cost=fractions, lag=lags)
    def draw(self, number, actual, cost, lag):
        self.settle_or_draw(draw_quota, self.pick(number), self.with_cost(actual, cost), lag)

    @rule(number=choices, actual=amounts, cost=fractions, lag=lags)
    def settle(self, number, actual, cost, lag):
        self.settle_or_draw(settle_quota, self.pick(number), self.with_cost(actual, cost), lag)

    @rule(number=choices, lag=lags)
    def release(self, number, lag):
        self.settle_or_draw(settle_quota, self.pick(number), {}, lag)

    @rule(number=choices, fence=integers(1, 4), frees=sets(sampled_from(list(LIMITS))))
    def fence(self, number, fence, frees):
        identifier = self.pick(number)
        held = self.held.get(identifier)
        is_highest = held is not None and held.fence <= fence
        assert fence_quota(self.reservation(identifier), fence, frees=frees, now=self.now) == is_highest
        if is_highest and held.fence < fence:
            held.fence = fence
            for key in [key for key in held.lines if key[0] in frees]:
                self.counters[held.user, *key].reserved -= held.lines[key]
                held.lines[key] = Decimal(0)

    @rule(number=choices, seconds=integers(0, 7_200))
    def renew(self, number, seconds):
        identifier = self.pick(number)
        held = self.held.get(identifier)
        is_alive = held is not None and held.expires_at > self.now
        ttl = timedelta(seconds=seconds)
        assert renew_quotas([identifier], ttl=ttl, now=self.now) == ({identifier} if is_alive else set())
        if is_alive:
            held.expires_at = self.now + ttl

    @rule(user=booleans(), resource=sampled_from(list(LIMITS)), amount=integers(0, 20))
    def give_back(self, user, resource, amount):
        member, counter = self.members[user], self.counter(user, resource)
        less = min(counter.used, Decimal(amount))
        assert less == give_back_quota(
            user_id=member.user_id,
            tenant_id=member.tenant_id,
            resource=resource,
            amount=amount,
            window_start=self.start(resource),
        )
        counter.used -= less

    # What time and operators do.

    @rule(minutes=integers(1, 300))
    def wait(self, minutes):
        self.now += timedelta(minutes=minutes)

    @rule()
    def expire(self):
        assert expire_quotas(tenant_id=self.tenant_id, now=self.now) == self.forget_expired()

    @rule(tier=sampled_from(["free", "early"]))
    def change_tier(self, tier):
        Tenant.objects.filter(id=self.tenant_id).update(tier=Tier.objects.get(slug=tier))
        self.tier = tier

    @rule(
        user=one_of(none(), booleans()),
        resource=sampled_from(list(LIMITS)),
        limit=integers(0, 12),
        minutes=one_of(none(), integers(1, 600)),
        for_all=booleans(),
    )
    def override(self, user, resource, limit, minutes, for_all):
        user = None if for_all else user
        made = Adjusted(user, resource, Decimal(limit), self.in_minutes(minutes))
        (self.overrides_for_all if for_all else self.overrides).append(made)
        QuotaOverride.objects.create(
            **self.adjustment(made, for_all), limit=limit, created_at=self.now + timedelta(0, next(numbers))
        )

    @rule(
        user=one_of(none(), booleans()),
        resource=sampled_from(list(LIMITS)),
        amount=integers(1, 6),
        minutes=one_of(none(), integers(1, 600)),
    )
    def grant(self, user, resource, amount, minutes):
        start = self.start(resource)
        made = Adjusted(user, resource, Decimal(amount), self.in_minutes(minutes), start)
        self.grants.append(made)
        QuotaGrant.objects.create(**self.adjustment(made, False), amount=amount, window_start=start)

    # What must hold.

    @invariant()
    def the_counters_are_the_models(self):
        users = {member.user_id: number for number, member in enumerate(self.members)}
        rows = QuotaUsage.objects.filter(tenant_id=self.tenant_id)
        found = {(users[row.user_id], row.resource, row.window_start): row for row in rows}
        assert {key for key, counter in self.counters.items() if counter != Counter()} <= set(found)
        for key, row in found.items():
            assert (row.used, row.reserved) == (self.counters[key].used, self.counters[key].reserved)

    @invariant()
    def the_books_balance(self):
        assert imbalances() == {}

    # The model.

    def expect(self, user, asked):
        """Return which resource refuses, after what has expired was refunded to make room."""
        refused = self.refused(user, asked)
        return self.refused(user, asked) if refused and self.forget_expired() else refused

    def refused(self, user, asked):
        for name in sorted(asked):
            mine = self.counter(user, name)
            everyones = [self.counter(each, name) for each in (False, True)]
            limit, for_all = self.limits(user, name)
            if mine.used + mine.reserved + asked[name] > limit:
                return name
            total = sum(counter.used + counter.reserved for counter in everyones)
            if for_all is not None and total + asked[name] > for_all:
                return name
        return None

    def limits(self, user, resource):
        limit, for_all = LIMITS[resource][self.tier]
        for adjusted in self.in_force(self.overrides_for_all, user, resource):
            for_all = adjusted.amount
        overrides = self.in_force(self.overrides, user, resource)
        for adjusted in sorted(overrides, key=lambda adjusted: adjusted.user is not None):
            limit = adjusted.amount
        for adjusted in self.in_force(self.grants, user, resource):
            limit += adjusted.amount if adjusted.start == self.start(resource) else 0
        return limit, for_all

    def in_force(self, adjustments, user, resource):
        return [
            each
            for each in adjustments
            if each.resource == resource
            and each.user in (None, user)
            and (each.expires_at is None or each.expires_at > self.now)
        ]

    def settle_or_draw(self, service, identifier, actual, lag):
        is_done = identifier in self.held and not lag
        assert service(self.reservation(identifier, lag), actual, now=self.now) == is_done
        if is_done:
            self.end(identifier, actual, keeps=service is draw_quota)

    def end(self, identifier, actual, *, keeps):
        held = self.held[identifier]
        charged = {}
        for name in actual:
            starts = [start for resource, start in held.lines if resource == name]
            charged[name] = (name, max(starts, default=self.start(name)))
        for key, amount in held.lines.items():
            drawn = actual.get(key[0], 0) if charged.get(key[0]) == key else 0
            freed = min(amount, drawn) if keeps else amount
            self.counters[held.user, *key].reserved -= freed
            held.lines[key] -= freed
        for name, amount in actual.items():
            self.counters[held.user, *charged[name]].used += amount
        if not keeps:
            del self.held[identifier]

    def forget_expired(self):
        expired = [each for each, held in self.held.items() if held.expires_at <= self.now]
        for identifier in expired:
            self.end(identifier, {}, keeps=False)
        return len(expired)

    def check_refusal(self, refusal, expected):
        assert refusal.resource == expected

    def check_granted(self, user, asked):
        for name, quota in quotas_of(self.members[user], resources=list(asked), now=self.now).items():
            assert quota.used + quota.reserved <= quota.limit == self.limits(user, name)[0]
            assert quota.left_for_all is None or quota.left_for_all >= 0

    def with_cost(self, asked, cost):
        values = {name: Decimal(amount) for name, amount in asked.items()}
        return values | ({"cost_usd": cost} if "cost_usd" in values else {})

    def start(self, resource):
        return window_start(RULES[resource].window, now=self.now)

    def key(self, resource):
        return resource, self.start(resource)

    def counter(self, user, resource):
        return self.counters[user, *self.key(resource)]

    def pick(self, number):
        """Return an open reservation, sometimes one that has ended or that never was."""
        if not self.held:
            self.try_to_reserve(number % 2, {"tokens": Decimal(2)}, timedelta(hours=1))
        if number == 0 or not self.held:
            return self.made[-1] if self.made else new_id()
        return list(self.held)[number % len(self.held)]

    def reservation(self, identifier, lag=None):
        held = self.held.get(identifier, Held(user=False, expires_at=self.now))
        member = self.members[held.user]
        fence = None if lag is None else held.fence - lag
        return Reservation(id=identifier, tenant_id=member.tenant_id, user_id=member.user_id, fence=fence)

    def in_minutes(self, minutes):
        return None if minutes is None else self.now + timedelta(minutes=minutes)

    def adjustment(self, made, for_all):
        return {
            "tenant_id": self.tenant_id,
            "user_id": None if made.user is None else self.members[made.user].user_id,
            "resource": made.resource,
            "applies_to": "tenant" if for_all else "member",
            "expires_at": made.expires_at,
            "reason": "a test",
        }


@pytest.mark.django_db
@pytest.mark.mission_critical("P4")
class TestQuotaBooks(QuotaBooks.TestCase):
    """The machine as a test."""

    settings = settings(max_examples=20, stateful_step_count=40)
