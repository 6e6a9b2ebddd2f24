"""Comparing what an event costs: CPU of the server's Python processes, beside that of the services."""

from contextlib import ExitStack

from benchmarks.live.cost import Cost, Delivery, deliver, print_costs
from benchmarks.live.effort import Effort
from benchmarks.live.stage import Backstage, Variant, stage

MANY_IN_FLIGHT = 20
MOST_EACH = 1_000_000
PLAIN_CAPACITY = 1_000_000
"""With which plain Channels loses nothing, at the price of memory."""


def compare_cost(behind: Backstage, *, server: str, effort: Effort) -> None:
    """Emit as fast as it goes, in one process, for several numbers of users."""
    for users in effort.users:
        variants = [
            Variant(application="bare", server=server),
            Variant(application="plain", server=server),
            Variant(application="plain", server=server, capacity=PLAIN_CAPACITY),
            Variant(application="netra", server=server),
        ]
        costs = _measure(behind, variants, users=users, effort=effort)
        title = f"{users} users on {server}, one process, as fast as it goes"
        print_costs(f"{title} (targets: at most 0.40, none lost)", costs, baseline=variants[1].name)


def _measure(behind: Backstage, variants: list[Variant], *, users: int, effort: Effort) -> list[Cost]:
    """Return each variant's medians; the variants take turns, so that all meet the same moments."""
    rounds: dict[str, list[Delivery]] = {}
    with ExitStack() as stack:
        stages = [stack.enter_context(stage(variant, behind)) for variant in variants]
        for each in stages:
            each.connect_active(users)
        for number in range(1 + effort.rounds):
            for each in stages:
                manners = {each.variant.name: 1}
                if each.variant.application == "netra":
                    manners[f"{each.variant.name}, {MANY_IN_FLIGHT} of a run in flight"] = MANY_IN_FLIGHT
                for name, in_flight in manners.items():
                    seconds = effort.emit_seconds if number else 0.3
                    delivery = deliver(each, each=MOST_EACH, in_flight=in_flight, seconds=seconds)
                    if number:
                        rounds.setdefault(name, []).append(delivery)
    return [Cost.of(name, own) for name, own in rounds.items()]
