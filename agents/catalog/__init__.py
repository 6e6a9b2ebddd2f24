"""The team: one module an agent, in the order in which they work."""

from .actions import ACTIONS
from .data import DATA
from .optimization import OPTIMIZATION
from .reporting import REPORTING
from .specification import AgentSpecification
from .triage import TRIAGE

CATALOG: tuple[AgentSpecification, ...] = (TRIAGE, DATA, OPTIMIZATION, ACTIONS, REPORTING)
"""Every agent, in the order of work."""

ALWAYS_ON: tuple[str, ...] = (TRIAGE.name, REPORTING.name)
"""Names of the agents that no preference switches off: without them there is no answer."""

__all__ = ["ALWAYS_ON", "CATALOG", "AgentSpecification"]
