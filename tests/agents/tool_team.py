"""A run of carol's on the free tier, the tools that its agents call, and what they cost her."""

import asyncio

from agents.dispatcher import UnifiedToolDispatcher
from agents.line import run_reservation
from agents.models import Run
from contexts.database import call_in_thread
from contexts.metering import QuotaMeter
from contexts.models import QuotaOverride, QuotaUsage
from tests.agents.running import ask, begin, log_of, upload

ENDLESS = "SELECT count(*) FROM range(1000000000000) a, range(1000000) b"
PATIENCE_SECONDS = 30


class Team:
    """Carol's run on the free tier, as a worker has begun it, and what its agents can do."""

    def __init__(self, begun, reservation, dataset_ids):
        self.context = begun.context
        self.dataset_id = dataset_ids[0]
        self.dataset_ids = dataset_ids
        self.dispatcher = UnifiedToolDispatcher.for_context(
            begun.context, log_of(begun), meter=QuotaMeter(reservation)
        )

    async def call(self, tool, **params):
        return await self.dispatcher.execute(tool, params, context=self.context, agent_name="data")

    async def query(self, sql, dataset_id=None):
        return await self.call("query_dataset", dataset_id=dataset_id or self.dataset_id, sql=sql)

    @property
    def process(self):
        """The one query process of the run, as the system sees it."""
        return self.dispatcher._sessions._process._process


def start(cast, tmp_path, cpu_seconds=None):
    ids = [upload(cast.carol, tmp_path), upload(cast.carol, tmp_path, model="gpt-4o-mini")]
    if cpu_seconds is not None:
        limit_cpu(cast, cpu_seconds)
    begun = begin(ask(cast.carol))
    return begun, run_reservation(Run.objects.get(id=begun.context.run_id)), ids


def limit_cpu(cast, seconds):
    QuotaOverride.objects.create(tenant=cast.globex, resource="cpu_seconds", limit=seconds, reason="A test.")


def cpu_used(cast):
    """What the user has used and what is still set aside."""
    usage = QuotaUsage.objects.filter(user=cast.carol, resource="cpu_seconds").first()
    return (float(usage.used), float(usage.reserved)) if usage else (0.0, 0.0)


async def make_team(cast, tmp_path, **limits):
    return Team(*await call_in_thread(start, cast, tmp_path, **limits))


async def wait_for(condition):
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await call_in_thread(condition):  # noqa: ASYNC110 - told by nobody
            await asyncio.sleep(0.02)
