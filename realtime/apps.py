"""The application that carries events to the users they belong to."""

from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    """Sockets, their sign-in, groups and the chat page."""

    name = "realtime"
    verbose_name = "Realtime"

    def ready(self) -> None:
        """Have every event that is committed published to its owner's sockets."""
        from agents.event_log import register_event_sink
        from realtime.bridge import AgentWebSocketBridge

        register_event_sink(AgentWebSocketBridge())
