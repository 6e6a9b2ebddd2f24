"""The names that clients and extensions rely on: each importable from its home, and defined nowhere else."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOMES = {
    "UserExecutionContext": "contexts.context",
    "UserContextManager": "contexts.manager",
    "UserContextFactory": "contexts.factory",
    "managed_user_context": "contexts.factory",
    "validate_user_context": "contexts.validation",
    "SecurityReport": "contexts.reports",
    "ContaminationReport": "contexts.reports",
    "QuotaResult": "contexts.reports",
    "UserExecutionEngine": "agents.engine",
    "ExecutionEngineFactory": "agents.engine_factory",
    "AgentRegistry": "agents.registry",
    "UnifiedToolDispatcher": "agents.dispatcher",
    "DeepAgentState": "agents.state",
    "AgentWebSocketBridge": "realtime.bridge",
    "UserWebSocketEmitter": "realtime.emitter",
    "get_websocket_manager": "realtime.managers",
    "get_manager_registry_status": "realtime.managers",
    "reset_manager_registry": "realtime.managers",
}


@pytest.mark.parametrize(("name", "home"), HOMES.items())
def test_a_fixed_name_is_importable_from_its_home(name, home):
    assert hasattr(import_module(home), name)


def test_fixed_names_are_defined_once():
    definitions: dict[str, list[str]] = {}
    for package in ("contexts", "agents", "realtime", "netra_site"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.parse(path.read_text()).body:
                if (
                    isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
                    and node.name in HOMES
                ):
                    definitions.setdefault(node.name, []).append(module)
    assert definitions == {name: [home] for name, home in HOMES.items()}
