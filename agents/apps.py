"""The application that runs agents."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Threads, runs, engine, registry, tools, models and the event log."""

    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Tell the preferences which agents exist."""
        from agents.catalog import ALWAYS_ON, CATALOG
        from contexts.preferences import register_agent_names

        register_agent_names((agent.name for agent in CATALOG), always_on=ALWAYS_ON)
