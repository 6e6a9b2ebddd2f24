"""The application that runs agents."""

from django.apps import AppConfig
from django.db.models.signals import post_delete


class AgentsConfig(AppConfig):
    """Threads, runs, engine, registry, tools, models and the event log."""

    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Tell the preferences which agents exist, and have deletions and log-outs end what they end."""
        from agents.catalog import ALWAYS_ON, CATALOG
        from agents.dataset_files import delete_file_of
        from agents.models import Dataset
        from agents.personal_data import agent_holders
        from agents.sign_out import cancel_runs_of
        from contexts.personal_data.registry import register_holder
        from contexts.preferences import register_agent_names
        from contexts.signals import signed_out

        register_agent_names((agent.name for agent in CATALOG), always_on=ALWAYS_ON)
        register_holder(*agent_holders())
        post_delete.connect(delete_file_of, sender=Dataset, dispatch_uid="delete_file_of_dataset")
        signed_out.connect(cancel_runs_of, dispatch_uid="cancel_runs_of_signed_out")
