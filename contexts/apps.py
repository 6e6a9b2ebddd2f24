"""The application that knows who is asking, and how much they may use."""

from django.apps import AppConfig


class ContextsConfig(AppConfig):
    """Tenants, tiers, quotas, execution contexts, isolation and audit."""

    name = "contexts"
    verbose_name = "Tenants and quotas"

    def ready(self) -> None:
        """Register checks, the figures for Prometheus, the roles of staff and what a deletion leaves."""
        from django.db.models.signals import post_migrate, pre_delete
        from prometheus_client import REGISTRY

        from contexts import checks  # noqa: F401
        from contexts.departures import free_quotas
        from contexts.models import User
        from contexts.personal_data.accounts import account_holders
        from contexts.personal_data.registry import register_holder
        from contexts.prometheus import ContextCollector
        from contexts.staff_roles import give_roles

        # After the permissions were made: that receiver was connected earlier.
        post_migrate.connect(give_roles, dispatch_uid="contexts.staff_roles")
        pre_delete.connect(free_quotas, sender=User, dispatch_uid="contexts.departures")
        register_holder(*account_holders())
        REGISTRY.register(ContextCollector())
