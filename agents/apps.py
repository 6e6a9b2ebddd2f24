"""The application that runs agents."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Threads, runs, engine, registry, tools, models and the event log."""

    name = "agents"
    verbose_name = "Agents"
