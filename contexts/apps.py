"""The application that knows who is asking, and how much they may use."""

from django.apps import AppConfig


class ContextsConfig(AppConfig):
    """Tenants, tiers, quotas, execution contexts, isolation and audit."""

    name = "contexts"
    verbose_name = "Tenants and quotas"

    def ready(self) -> None:
        """Register the checks of the database and the figures for Prometheus."""
        from prometheus_client import REGISTRY

        from contexts import checks  # noqa: F401
        from contexts.prometheus import ContextCollector

        REGISTRY.register(ContextCollector())
