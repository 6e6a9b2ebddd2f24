"""Many reservations at once, from several processes and threads: exact, and never stuck."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction

from contexts.exceptions import LimitError
from contexts.models import QuotaOverride, QuotaReservation, QuotaUsage, TierLimit
from contexts.quotas import (
    draw_quota,
    expire_quotas,
    extend_quota,
    give_back_quota,
    release_quota,
    renew_quotas,
    reserve_quota,
    settle_quota,
    use_quota,
)
from contexts.windows import EPOCH
from tests.contexts.quota_books import Member, at_once, imbalances, member_of
from tests.factories import make_cast, make_tenant, make_user
from tests.servers import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mission_critical("P4")]
LIMIT = 50
PROCESSES = 4
THREADS = 6


class Worker:
    """One of the processes."""

    def __init__(self, process):
        self.process = process

    def tell(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def hear(self):
        return json.loads(self.process.stdout.readline())


@contextmanager
def worker(member):
    """Start one process on the test's database, and end it with the block."""
    parameters = connection.get_connection_params()
    url = f"postgresql://{parameters['user']}@/{parameters['dbname']}?host={parameters['host']}"
    if password := parameters.get("password"):
        url = url.replace("@/", f":{password}@/")
    if port := parameters.get("port"):
        url += f"&port={port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contexts.quota_process", *map(str, _ids(member)), str(THREADS)],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Worker(process)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _ids(member):
    return member.tenant_id, member.user_id


@pytest.fixture
def member(transactional_db):
    """A member who may hold 50 leases and 50 bytes."""
    user = make_cast().carol
    tenant = user.memberships.get().tenant
    for resource in ("concurrent_runs", "storage_bytes"):
        QuotaOverride.objects.create(tenant=tenant, resource=resource, limit=LIMIT, reason="a test")
    return member_of(user)


@pytest.fixture
def workers(member):
    with ExitStack() as stack:
        started = [stack.enter_context(worker(member)) for _ in range(PROCESSES)]
        assert [each.hear() for each in started] == ["ready"] * PROCESSES
        yield started


def counted(resource):
    row = QuotaUsage.objects.get(resource=resource)
    return row.used, row.reserved


def test_a_thousand_reservations_from_four_processes_are_granted_up_to_the_limit(member, workers):
    for each in workers:
        each.tell(attempts=1_000 // PROCESSES, ttl=600)
    granted = [each.hear() for each in workers]
    assert sum(map(len, granted)) == LIMIT
    assert counted("storage_bytes") == counted("concurrent_runs") == (0, LIMIT)
    assert imbalances() == {}
    half = [len(ids) // 2 for ids in granted]
    for each, ids, middle in zip(workers, granted, half, strict=True):
        each.tell(settle=ids[:middle], release=ids[middle:])
    assert sum(each.hear() for each in workers) == LIMIT
    assert counted("storage_bytes") == (sum(half), 0)
    assert imbalances() == {}
    reserve_quota(member, {"storage_bytes": LIMIT - sum(half)})
    with pytest.raises(LimitError):
        reserve_quota(member, {"storage_bytes": 1})


def test_what_a_killed_process_held_is_free_again_once_its_lease_has_expired(member, workers):
    doomed, *others = workers
    # Far more than it can do until the others let it hold something ten times.
    doomed.tell(attempts=5_000, ttl=2, seed=0)
    for seed, each in enumerate(others, start=1):
        each.tell(attempts=120, ttl=2, seed=seed)
    assert [doomed.hear() for _ in range(10)] == ["holds"] * 10
    doomed.process.kill()
    doomed.process.wait()
    for each in others:
        while each.hear() != "done":
            pass
    assert imbalances() == {}
    used = QuotaUsage.objects.get(resource="storage_bytes").used
    assert used <= LIMIT
    # The others have forgotten a fifth of theirs, too. Nobody sweeps here.
    _wait(lambda: not QuotaReservation.objects.filter(expires_at__gt=_database_time()).exists())
    reserve_quota(member, {"storage_bytes": LIMIT - used, "concurrent_runs": LIMIT})
    assert QuotaReservation.objects.count() == 1
    assert imbalances() == {}


def test_callers_who_race_for_what_has_expired_are_not_refused(member):
    for _ in range(LIMIT):
        reserve_quota(member, {"storage_bytes": 1}, timedelta(0))
    granted = at_once(lambda _: reserve_quota(member, {"storage_bytes": 1}), range(LIMIT), threads=12)
    assert len(granted) == LIMIT
    assert counted("storage_bytes") == (0, LIMIT)
    assert imbalances() == {}


def test_users_of_one_tenant_never_pass_its_ceiling():
    acme = make_tenant("acme")
    TierLimit.objects.filter(resource="storage_bytes").update(tenant_limit=LIMIT)
    members = [member_of(make_user(f"user{number}", acme)) for number in range(8)]

    def take(number):
        try:
            reserve_quota(members[number % len(members)], {"concurrent_runs": 1, "storage_bytes": 1})
        except LimitError as refusal:
            return refusal.resource
        return "granted"

    answers = at_once(take, range(400), threads=12)
    # 8 members may hold 10 runs each, and all of them 50 bytes.
    assert answers.count("granted") == LIMIT
    assert set(answers) == {"granted", "storage_bytes"}
    assert imbalances() == {}


@pytest.fixture
def crowd(transactional_db):
    """Five members of a tenant whose ceiling is lower than what they may have each."""
    acme = make_tenant("acme")
    TierLimit.objects.filter(resource="tokens").update(limit=5_000, tenant_limit=12_000)
    return [member_of(make_user(f"user{number}", acme)) for number in range(5)]


def test_no_two_callers_ever_wait_for_each_other(crowd):
    names = ["tokens", "messages", "cost_usd", "agent_runs", "storage_bytes", "concurrent_runs"]

    def live(seed):
        chance = random.Random(seed)
        return [do_something(chance, chance.choice(crowd), chance.sample(names, 3)) for _ in range(25)]

    answers = at_once(live, range(24), threads=12)
    assert {None, "refused"} == {answer for each in answers for answer in each}
    assert imbalances() == {}
    expire_quotas(now=_database_time() + timedelta(hours=1))
    assert not QuotaReservation.objects.exists()
    assert not QuotaUsage.objects.exclude(reserved=0).exists()
    assert imbalances() == {}


def test_callers_with_transactions_of_their_own_never_wait_for_each_other(crowd):
    def join_a_line(number):
        """Reserve as a run does that may have to wait in line for a place."""
        member = crowd[number % len(crowd)]
        with transaction.atomic():
            try:
                reserve_quota(member, {"agent_runs": 1, "concurrent_runs": 3, "tokens": 1})
                return "has a place"
            except LimitError:
                reserve_quota(member, {"agent_runs": 1, "tokens": 1})
                return "waits"

    answers = at_once(join_a_line, range(200), threads=12)
    # Each may have 10 at once, three a time.
    assert (answers.count("has a place"), answers.count("waits")) == (15, 185)
    assert imbalances() == {}


def do_something(chance, member: Member, names):
    amounts = {name: chance.choice([1, 2, 5, 900]) for name in names}
    try:
        # Most have expired as soon as they were made.
        reservation = reserve_quota(member, amounts, timedelta(seconds=chance.choice([0, 0, 60])))
        match chance.randrange(7):
            case 0:
                settle_quota(reservation, dict.fromkeys(names, 1))
            case 1:
                draw_quota(reservation, {"tokens": 3, "cost_usd": Decimal("0.01")})
                extend_quota(reservation, {"tokens": 700, "messages": 1})
                release_quota(reservation)
            case 2:
                expire_quotas(tenant_id=member.tenant_id)
            case 3:
                use_quota(member, {"agent_runs": 1, "tokens": 1})
            case 4:
                renew_quotas([reservation.id])
            case 5:
                give_back_quota(
                    user_id=member.user_id,
                    tenant_id=member.tenant_id,
                    resource="storage_bytes",
                    amount=1,
                    window_start=EPOCH,
                )
    except LimitError:
        return "refused"
    return None


def _database_time():
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def _wait(condition):
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
