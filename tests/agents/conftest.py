"""What tests of runs share: a sink that remembers, and nothing left running behind them."""

from collections.abc import AsyncIterator

import pytest

from agents.event_log import register_event_sink, unregister_event_sink
from agents.event_writer import close_event_writer
from contexts.database import close_async_pool
from contexts.manager import get_context_manager
from realtime.quota_reports import flush_quota_reports
from tests.agents.running import Recorder


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """Yield a sink that has every event of the test; afterwards nothing of its runs is left."""
    sink = Recorder()
    register_event_sink(sink)
    yield sink
    unregister_event_sink(sink)
    await get_context_manager().cleanup_all()
    await flush_quota_reports()
    await close_event_writer()
    await close_async_pool()
