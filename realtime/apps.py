"""The application that carries events to the users they belong to."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """Sockets, their sign-in, groups and the chat page."""

    name = "realtime"
    verbose_name = "Realtime"

    def ready(self) -> None:
        """Have events and quotas published to their owner's sockets, and sockets closed by breaches."""
        from agents.event_sinks import register_event_sink
        from contexts.incidents import isolation_breached
        from contexts.personal_data.registry import register_holder
        from contexts.signals import quotas_changed
        from realtime.bridge import SocketSink
        from realtime.personal_data import RedisHolder
        from realtime.quarantine import close_sockets
        from realtime.quota_reports import note_changed_quotas

        register_event_sink(SocketSink())
        register_holder(RedisHolder())
        isolation_breached.connect(close_sockets, dispatch_uid="close-sockets")
        quotas_changed.connect(note_changed_quotas, dispatch_uid="report-quotas")
