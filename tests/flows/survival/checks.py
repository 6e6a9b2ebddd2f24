"""What tests of survival ask, wait for and find out in the end."""

from typing import Any

import psycopg

from tests.flows.soak.people import Person
from tests.flows.soak.scenario import Course as Soak
from tests.flows.soak.verdict import judge
from tests.flows.soak.watcher import Watcher
from tests.scripted.asking import count_events, until
from tests.scripted.fleet import Fleet
from tests.scripted.question import Script
from tests.scripted.verdict import Course, courses, faults, stale_pieces, unsettled, used

RUNS = 30
Rows = psycopg.Connection[Any]


def of_all_kinds(label: str) -> list[Script]:
    """Return runs of which some call tools, some two at once, and some answer, at any moment."""
    return [
        Script(
            name=f"{label}-{number}",
            steps=1 + number % 4,
            parallel=1 + number % 2,
            model_s=0.3,
            tool_s=0.3,
            pieces=6,
        )
        for number in range(RUNS)
    ]


async def until_in_the_middle(rows: Rows, runs: dict[str, Script]) -> None:
    """Wait until all have begun, and about one in two of their tool calls has ended."""
    await until(lambda: count_events(rows, runs, "agent_started") == RUNS, "all have begun")
    await until(lambda: count_events(rows, runs, "tool_completed") > 2 * RUNS, "tools have answered")


def verdict(
    fleet: Fleet,
    rows: Rows,
    runs: dict[str, Script],
    watcher: Watcher,
    *,
    cut_off: int | None = None,
    woken: int | None = None,
) -> dict[str, Course]:
    """Return how the runs went, after they were found to be as they have to be; options as of `faults`."""
    went = courses(rows, runs)
    counts = fleet.counts()
    found = [
        fault for course in went.values() for fault in faults(course, counts, cut_off=cut_off, woken=woken)
    ]
    found += judge(Soak(people=[watcher.person], watchers=[watcher]), fleet.database).wrong
    found += stale_pieces(watcher)
    assert not found, "\n".join(found)
    assert unsettled(rows, watcher.person.user_id) == []
    assert used(rows, watcher.person.user_id, "agent_runs") == len(watcher.person.runs)
    return went


def takeover(went: dict[str, Course], since: float) -> str:
    """Return in words when the runs went on."""
    moments = [event.at - since for course in went.values() for event in course.of("run_resumed")]
    assert moments
    return f"{len(moments)} runs went on {min(moments):.2f} to {max(moments):.2f} s after it"


def put_on_tier(rows: Rows, person: Person, tier: str) -> None:
    """Put a person's tenant on the tier of a slug."""
    rows.execute(
        "UPDATE contexts_tenant SET tier_id = (SELECT id FROM contexts_tier WHERE slug = %s) WHERE id = %s",
        [tier, person.tenant_id],
    )
