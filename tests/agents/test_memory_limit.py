"""Memory runs out: whoever takes too much of it fails, and its worker goes on."""

import os
import subprocess
import sys
from urllib.parse import quote

import psutil
import pytest
from django.db import connection

from agents.memory_limit import LEAST_BYTES, SHARE_OF_MACHINE, available_bytes
from agents.models import Run
from contexts.database import call_in_thread
from tests.agents.running import ask, stored_events
from tests.factories import make_cast
from tests.servers import ROOT
from tests.waiting import eventually

LIMIT_MB = 1_500
WORKER = """
import asyncio
import django
django.setup()
from django.core.management import call_command
from pydantic import BaseModel
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from agents.llm.models import register_model
from agents.state import TriageResult
from agents.tools import Tool, register_tool
from agents.tools.datasets import NoParameters


class Nothing(BaseModel):
    pass


def hoard(*_):
    hoarded = [bytearray(50 << 20) for _ in range(200)]
    return Nothing()


def make(agent_name):
    async def stream(messages, info):
        told = str(messages)
        if agent_name == "triage":
            if "hungry model" in told:
                hoarded = []
                for _ in range(200):
                    hoarded.append(bytearray(50 << 20))
                    await asyncio.sleep(0)
            found = TriageResult(category="small_talk", reason="It is said.", next_agents=["reporting"])
            yield {0: DeltaToolCall(name=info.output_tools[0].name, json_args=found.model_dump_json())}
        elif "hungry tool" in told and "ToolReturnPart" not in told:
            yield {0: DeltaToolCall(name="hoard", json_args="{}")}
        else:
            yield "All is well."

    return FunctionModel(stream_function=stream)


register_model("hungry", make)
register_tool(
    Tool(name="hoard", description="Hoards.", parameters=NoParameters, function=hoard), agents=["reporting"]
)
call_command("worker")
"""


def start_worker(folder):
    """Start a worker on the tests' own database."""
    own = connection.settings_dict
    secret = f":{quote(own['PASSWORD'])}" if own["PASSWORD"] else ""
    port = f"&port={own['PORT']}" if own["PORT"] else ""
    variables = {
        "DATABASE_URL": f"postgresql://{own['USER']}{secret}@/{own['NAME']}?host={own['HOST']}{port}",
        "NETRA_DATA_DIR": str(folder),
        "NETRA_MODEL": "hungry",
        "NETRA_WORKER_MEMORY_MB": str(LIMIT_MB),
    }
    return subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=os.environ | variables)


@pytest.mark.mission_critical("P3")
@pytest.mark.django_db(transaction=True)
async def test_a_run_that_takes_too_much_memory_fails_alone(tmp_path):
    cast = await call_in_thread(make_cast)
    asked = ("A hungry model, please.", "Hello.", "A hungry tool, please.", "And good bye.")
    runs = {text: await call_in_thread(ask, cast.alice, text) for text in asked}
    worker = await call_in_thread(start_worker, tmp_path)
    try:
        ended = Run.objects.filter(id__in=runs.values(), finished_at__isnull=False)
        await eventually(lambda: ended.count() == len(runs), seconds=60)
        assert psutil.Process(worker.pid).rlimit(psutil.RLIMIT_DATA)[0] == LIMIT_MB * 10**6
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()
    last = {text: (await call_in_thread(stored_events, run_id))[-1] for text, run_id in runs.items()}
    assert last.pop(asked[0]).data["code"] == "out_of_memory"
    assert {event.data.get("final_response") for event in last.values()} == {"All is well."}
    told = [event.data for event in await call_in_thread(stored_events, runs[asked[2]])]
    assert ["more memory" in data["error"]["message"] for data in told if "error" in data] == [True]


LIMITED = """
import resource, sys
from agents.memory_limit import limit_memory
print(limit_memory(int(sys.argv[1])), resource.getrlimit(resource.RLIMIT_DATA))
"""


@pytest.mark.unit
@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [
        (2_000, 2_000 * 10**6),
        (1, LEAST_BYTES),
        (0, max(LEAST_BYTES, int(SHARE_OF_MACHINE * available_bytes()))),
    ],
)
def test_the_limit_is_what_is_set_or_a_share_of_the_machines(megabytes, expected):
    said = subprocess.check_output([sys.executable, "-c", LIMITED, str(megabytes)], cwd=ROOT, text=True)
    assert said == f"{expected} ({expected}, -1)\n"
