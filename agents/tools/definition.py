"""What a tool is, and what it gets to work with."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.datasets.session import AnalysisSession
from agents.tools.sessions import AnalysisSessions
from agents.tools.work import ToolWork
from contexts.context import UserExecutionContext

READERS = frozenset({"owner", "admin", "member", "viewer"})
MEMBERS = frozenset({"owner", "admin", "member"})


class Parameters(BaseModel):
    """Base of every tool's parameters: what is not declared is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@cache
def schema_of(parameters: type[Parameters]) -> dict[str, Any]:
    """Return the JSON schema of a tool's parameters; to be copied before it is given away."""
    return parameters.model_json_schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnvironment:
    """What one call may use: the caller's context and the run's datasets."""

    context: UserExecutionContext
    sessions: AnalysisSessions
    work: ToolWork
    """This call, measured and stopped from outside."""
    call_id: str
    """What the call is known by, the same when it has to be repeated: a key for what must happen once."""
    now: datetime
    """The moment of the call (UTC), which also fixes the list prices."""

    def open(self, dataset_id: str) -> AbstractContextManager[AnalysisSession]:
        """Have the session that holds this dataset and no other; raises what `AnalysisSessions.use` does."""
        return self.sessions.use(dataset_id, self.work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that agents may call through the dispatcher; it runs in a thread."""

    name: str
    description: str
    """What it does and when to use it, for the model."""
    parameters: type[Parameters]
    function: Callable[[ToolEnvironment, Any], BaseModel]
    """Takes the environment and validated parameters; raises `NetraError` for what cannot be done."""
    roles: frozenset[str] = READERS
    """Roles that may use it."""
    timeout_seconds: float = 30.0
    """After this long the call is interrupted."""
    is_repeatable: bool = True
    """Whether a call that was cut off may be made again, with the same `call_id`.

    Of one that may not, the model is told that its outcome is unknown.
    """
    needs_cpu: bool = True
    """Whether it analyses data, which is metered, and refused once the user's CPU seconds are used up."""
