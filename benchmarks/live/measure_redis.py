"""Comparing what an event costs when a worker emits it and Redis carries it to the web process."""

from contextlib import ExitStack

from benchmarks.live.cost import Cost, Delivery, deliver, print_costs
from benchmarks.live.effort import Effort
from benchmarks.live.stage import Backstage, Variant, stage

USERS = 50
MANY_IN_FLIGHT = 20
MOST_EACH = 1_000_000


def compare_redis(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Emit as fast as it goes in another process, for 50 users."""
    plain = Variant(application="plain", server=server, with_redis=True)
    netra = Variant(application="netra", server=server, with_redis=True)
    rounds: dict[str, list[Delivery]] = {}
    with ExitStack() as stack:
        stages = [stack.enter_context(stage(variant, behind)) for variant in (plain, netra)]
        for each in stages:
            each.connect_active(USERS)
        for number in range(1 + effort.rounds):
            for each in stages:
                for in_flight in (1, MANY_IN_FLIGHT):
                    seconds = effort.emit_seconds if number else 0.3
                    delivery = deliver(each, each=MOST_EACH, in_flight=in_flight, seconds=seconds)
                    suffix = f", {in_flight} in flight a user" if in_flight > 1 else ""
                    if number:
                        rounds.setdefault(each.variant.name + suffix, []).append(delivery)
    print_costs(
        f"{USERS} users on {server}, emitted by a worker through Redis (targets: at most 0.50, none lost)",
        [Cost.of(name, own) for name, own in rounds.items()],
        baseline=plain.name,
    )
