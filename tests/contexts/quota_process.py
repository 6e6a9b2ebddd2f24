"""A process of its own that reserves quota from several threads: does what it is told, one JSON a line.

`python -m tests.contexts.quota_process TENANT USER THREADS` says `"ready"`. `{"attempts", "ttl"}` is answered
with the ids that were granted; `{"settle": [ids], "release": [ids]}` with how many were ended. With
`{"attempts", "ttl", "seed"}` it reserves and ends as it likes, and says each time that it holds something.
"""

import json
import random
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import django

AMOUNTS = {"concurrent_runs": 1, "storage_bytes": 1}


def main() -> None:
    """Follow the orders on standard input until it ends."""
    django.setup()
    from contexts.quota_statements import Reservation
    from tests.contexts.quota_books import Member

    member = Member(tenant_id=UUID(sys.argv[1]), user_id=UUID(sys.argv[2]))
    threads = int(sys.argv[3])

    def reservation(identifier: str) -> Reservation:
        return Reservation(id=UUID(identifier), tenant_id=member.tenant_id, user_id=member.user_id)

    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        ttl = timedelta(seconds=order.get("ttl", 0))
        if "seed" in order:
            chance = random.Random(order["seed"])
            in_threads(
                lambda _, ttl=ttl, chance=chance: live(member, ttl, chance), order["attempts"], threads
            )
            say("done")
        elif "attempts" in order:
            answers = in_threads(lambda _, ttl=ttl: try_to_reserve(member, ttl), order["attempts"], threads)
            say([str(granted.id) for granted in answers if granted])
        else:
            say(end(map(reservation, order["settle"]), map(reservation, order["release"])))


def try_to_reserve(member: Any, ttl: timedelta) -> Any:
    """Return the reservation, or none when it was refused."""
    from contexts.exceptions import QuotaExceededError
    from contexts.quotas import reserve_quota

    try:
        return reserve_quota(member, AMOUNTS, ttl)
    except QuotaExceededError:
        return None


def live(member: Any, ttl: timedelta, chance: random.Random) -> None:
    """Reserve once, and do with it what a program may do: use it, return it, or forget it."""
    from contexts.quotas import draw_quota, release_quota, settle_quota

    reservation = try_to_reserve(member, ttl)
    if reservation is None:
        return
    say("holds")
    match chance.randrange(5):
        case 0:
            draw_quota(reservation, {"storage_bytes": 1})
            settle_quota(reservation, {})
        case 1:
            settle_quota(reservation, {"storage_bytes": 1})
        case 2 | 3:
            release_quota(reservation)


def end(settle: Iterable[Any], release: Iterable[Any]) -> int:
    """End reservations, used or not; return how many there were."""
    from contexts.quotas import release_quota, settle_quota

    return sum(settle_quota(each, AMOUNTS) for each in settle) + sum(release_quota(each) for each in release)


def in_threads(work: Callable[[int], Any], times: int, threads: int) -> list[Any]:
    """Do the work so many times, in several threads with connections of their own."""
    from django.db import connection

    def call(number: int) -> Any:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, range(times)))


def say(value: Any) -> None:
    """Answer with a line; short enough that the lines of several threads do not mix."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
