"""What exact quotas cost: reserving and settling, next to the bare conditional UPDATE of a counter."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import django
from psycopg import AsyncConnection, connect
from psycopg_pool import AsyncConnectionPool

from benchmarks.tables import Measurement, print_table
from netra_site.embedded import start_postgres
from netra_site.embedded.lifetime import let_go

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 9
WARM_UPS = 2
USERS = 50
CALLS_EACH = 20
CALLS = USERS * CALLS_EACH
LEDGERS = (1_000, 1_000_000)
STOP_SECONDS = 30

Statement = tuple[str, Sequence[Any]]
Pool = AsyncConnectionPool[AsyncConnection[Any]]

BARE = (
    "UPDATE bare_counter SET reserved = reserved + %s "
    "WHERE id = %s AND used + reserved + %s <= most RETURNING used, reserved"
)
# The members of one resource: a tenant for each, and one tenant for all.
FILL = """
INSERT INTO bare_counter SELECT number, 0, 0, 1e15 FROM generate_series(0, %(users)s - 1) AS number;
INSERT INTO contexts_user (id, password, is_superuser, username, first_name, last_name, email, is_staff,
        is_active, date_joined, preferred_model, preferred_language, preferred_time_zone)
    SELECT id, '', false, id::text, '', '', '', false, true, now(), '', '', '' FROM unnest(%(members)s) AS id;
INSERT INTO contexts_tenant (id, name, slug, is_active, tier_id, preferred_model, preferred_language,
        preferred_time_zone)
    SELECT id, id::text, id::text, true, (SELECT id FROM contexts_tier WHERE slug = 'enterprise'), '', '', ''
    FROM unnest(%(tenants)s) AS id;
"""
FILL_LEDGER = """
INSERT INTO contexts_quotaentry (created_at, tenant_id, user_id, resource, window_start, kind, used, reserved)
    SELECT at, (%(tenants)s)[number %% %(users)s + 1], (%(members)s)[number %% %(users)s + 1], 'tokens',
        date_trunc('day', at, 'UTC'), 'used', 0, 0
    FROM (SELECT number, now() - number * interval '1 second' AS at
        FROM generate_series(%(first)s::integer, %(last)s) AS number) AS entry
"""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A user in a tenant, as the quota functions know one."""

    tenant_id: UUID
    user_id: UUID


@dataclass(kw_only=True)
class Case:
    """Members who reserve and settle at the same time, and how long all their calls took in each round."""

    name: str
    members: Sequence[Member]
    reserving: list[float] = field(default_factory=list)
    settling: list[float] = field(default_factory=list)

    def measurements(self, *, calls: str) -> list[Measurement]:
        """Return what was measured of the calls named, `reserve` or `settle`."""
        seconds = self.reserving if calls == "reserve" else self.settling
        return [Measurement(name=f"{calls}, {self.name}", seconds=seconds)]


def run() -> None:
    """Measure and print; on a PostgreSQL of its own that keeps every commit, as in production."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra_site.settings")
    os.environ.setdefault("DEBUG", "1")
    os.environ.setdefault("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    django.setup()
    with _database() as url:
        users = [Member(tenant_id=_id(1, n), user_id=_id(0, n)) for n in range(USERS)]
        colleagues = [Member(tenant_id=_id(2, 0), user_id=member.user_id) for member in users]
        _fill(url, [*users, *colleagues])
        multiples: dict[int, dict[str, float]] = {}
        before = 0
        for entries in LEDGERS:
            _fill_ledger(url, users, first=before + 1, last=entries)
            before = entries
            bare = {name: Measurement(name=name, seconds=[]) for name in ("50 rows", "one hot row")}
            cases = {
                "own": Case(name="50 users, each of their own tenant", members=users),
                "same": Case(name="50 users of one tenant", members=colleagues),
                "hot": Case(name="one hot user", members=users[:1] * USERS),
            }
            asyncio.run(_measure(url, bare, cases))
            _print_cases(entries, bare, cases)
            multiples[entries] = {
                calls: measured.median_ms / bare["50 rows"].median_ms
                for calls in ("reserve", "settle")
                for measured in cases["own"].measurements(calls=calls)
            }
        _print_flatness(multiples)


async def _measure(url: str, bare: dict[str, Measurement], cases: dict[str, Case]) -> None:
    from contexts.identifiers import new_id
    from contexts.quota_statements import Reservation, reserve_statement, settle_statement

    async with _pool(url) as pool:
        for number in range(WARM_UPS + ROUNDS):
            keeps = number >= WARM_UPS
            for measurement, rows in zip(bare.values(), (USERS, 1), strict=True):
                seconds = await _time(pool, lambda user, call, rows=rows: (BARE, [1, user % rows, 1]))
                if keeps:
                    measurement.seconds.append(seconds)
            for case in cases.values():
                reservations = [
                    Reservation(id=new_id(), tenant_id=member.tenant_id, user_id=member.user_id)
                    for member in case.members
                    for _ in range(CALLS_EACH)
                ]

                def reserve(user: int, call: int, ids: list[Reservation] = reservations) -> Statement:
                    ttl = timedelta(hours=1)
                    reservation = ids[user * CALLS_EACH + call]
                    return reserve_statement(reservation, {"tokens": 2}, purpose="run", ttl=ttl, now=None)

                def settle(user: int, call: int, ids: list[Reservation] = reservations) -> Statement:
                    return settle_statement(
                        ids[user * CALLS_EACH + call], {"tokens": 1}, keeps=False, now=None
                    )

                seconds = [await _time(pool, reserve), await _time(pool, settle)]
                if keeps:
                    case.reserving.append(seconds[0])
                    case.settling.append(seconds[1])


async def _time(pool: Pool, statement: Callable[[int, int], Statement]) -> float:
    """Return how long it takes that each of the users makes their calls, one after the other."""

    async def work(user: int) -> None:
        for call in range(CALLS_EACH):
            async with pool.connection() as connection:
                cursor = await connection.execute(*statement(user, call))
                if not (await cursor.fetchall())[0][0] is not False:
                    raise RuntimeError("A call of the benchmark was refused.")

    started = time.perf_counter()
    await asyncio.gather(*(work(user) for user in range(USERS)))
    return time.perf_counter() - started


@contextmanager
def _database() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="netra-benchmark-"))
    folder.chmod(0o755)
    try:
        url = start_postgres(folder)
        environment = os.environ | {"DATABASE_URL": url, "DEBUG": "1", "NETRA_DATA_DIR": str(folder / "var")}
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        yield url
    finally:
        let_go(folder)
        give_up_at = time.monotonic() + STOP_SECONDS
        while (folder / "data" / "postmaster.pid").exists() and time.monotonic() < give_up_at:
            time.sleep(0.1)
        shutil.rmtree(folder, ignore_errors=True)


def _pool(url: str) -> Pool:
    from django.conf import settings

    # As `contexts.database.async_pool` makes it.
    return AsyncConnectionPool(
        url,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=settings.ASYNC_POOL_SIZE,
        timeout=60,
        open=False,
    )


def _fill(url: str, members: Sequence[Member]) -> None:
    values = {
        "users": USERS,
        "members": sorted({member.user_id for member in members}),
        "tenants": sorted({member.tenant_id for member in members}),
    }
    with connect(url, options="-c netra.scope=system") as connection:
        connection.execute(
            "CREATE TABLE bare_counter (id integer PRIMARY KEY, used numeric(24, 6), "
            "reserved numeric(24, 6), most numeric(24, 6))"
        )
        for statement in filter(str.strip, FILL.split(";")):
            connection.execute(statement, values)


def _fill_ledger(url: str, members: Sequence[Member], *, first: int, last: int) -> None:
    values = {
        "users": USERS,
        "members": [member.user_id for member in members],
        "tenants": [member.tenant_id for member in members],
        "first": first,
        "last": last,
    }
    with connect(url, options="-c netra.scope=system", autocommit=True) as connection:
        connection.execute(FILL_LEDGER, values)
        connection.execute("VACUUM ANALYZE")


def _id(kind: int, number: int) -> UUID:
    return UUID(int=(kind + 1) << 100 | number + 1)


def _print_cases(entries: int, bare: dict[str, Measurement], cases: dict[str, Case]) -> None:
    heading = f"{CALLS:,} calls, {USERS} at once, with {entries:,} entries in the ledger"
    for title, rows, names in (
        ("Users in parallel", "50 rows", ["own"]),
        # Colleagues share their tenant's row.
        ("A hot row", "one hot row", ["hot", "same"]),
    ):
        print_table(
            f"{title}: {heading} (target: at most 2.00)",
            Measurement(name=f"the bare conditional UPDATE of {rows}", seconds=bare[rows].seconds),
            [
                measurement
                for name in names
                for calls in ("reserve", "settle")
                for measurement in cases[name].measurements(calls=calls)
            ],
        )


def _print_flatness(multiples: dict[int, dict[str, float]]) -> None:
    """Print medians as multiples of the bare UPDATE's in the same rounds, which evens out a busy machine."""
    print("\n### Multiples of the bare UPDATE as the ledger grows, users in parallel (target: flat)\n")
    print("| entries | reserve | settle |")
    print("|---:|---:|---:|")
    for entries, row in multiples.items():
        print(f"| {entries:,} | {row['reserve']:,.2f} | {row['settle']:,.2f} |")
