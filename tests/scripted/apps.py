"""Makes the scripted model and its tools known to every process that has this app."""

from django.apps import AppConfig


class ScriptedConfig(AppConfig):
    """For tests alone; see `tests.scripted_settings`."""

    name = "tests.scripted"
    label = "scripted"

    def ready(self) -> None:
        """Register what questions that begin with `scripted:` are answered with."""
        # Only now may models be imported.
        from agents.llm.models import register_model
        from agents.tools import register_tool
        from tests.scripted.model import MODEL_NAME, scripted_model
        from tests.scripted.tools import TOOLS

        register_model(MODEL_NAME, scripted_model)
        for tool in TOOLS:
            register_tool(tool, agents=("data",))
