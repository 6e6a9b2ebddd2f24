"""The application that brings the scripted model and its tool into a process."""

from django.apps import AppConfig


class ScriptedConfig(AppConfig):
    """Makes `NETRA_MODEL=scripted` usable."""

    name = "benchmarks.runs"
    label = "benchmark_runs"

    def ready(self) -> None:
        """Register the model and the tool."""
        from agents.llm.models import register_model
        from agents.tools import register_tool
        from benchmarks.scripted import LOOK_UP, MODEL_NAME, scripted_model

        register_model(MODEL_NAME, scripted_model)
        register_tool(LOOK_UP, agents=("reporting",))
