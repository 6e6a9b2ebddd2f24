"""What `agents` keeps in the database."""

from agents.models.calls import ToolCall
from agents.models.charts import Chart
from agents.models.datasets import Dataset
from agents.models.events import RunEvent
from agents.models.runs import Run, RunStatus, TenantTurn
from agents.models.steps import RunStep
from agents.models.threads import Author, Message, Thread

__all__ = [
    "Author",
    "Chart",
    "Dataset",
    "Message",
    "Run",
    "RunEvent",
    "RunStatus",
    "RunStep",
    "TenantTurn",
    "Thread",
    "ToolCall",
]
