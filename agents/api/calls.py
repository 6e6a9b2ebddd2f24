"""Tool calls over REST: in full, where the run's events have only a part."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents.tool_calls import read_call
from contexts.api.base import ContextView


class CallErrorSerializer(serializers.Serializer[Any]):
    """Why a tool gave no result."""

    code = serializers.CharField()
    message = serializers.CharField()


class CallSerializer(serializers.Serializer[Any]):
    """One call of a tool, secrets redacted."""

    run_id = serializers.UUIDField()
    call_id = serializers.CharField()
    tool_name = serializers.CharField()
    agent_name = serializers.CharField()
    params = serializers.JSONField(help_text="What it was called with.")
    ok = serializers.BooleanField(allow_null=True, help_text="Null while it runs.")
    result = serializers.JSONField(
        allow_null=True, help_text="In full up to 1 MiB; of more, it says how much is missing."
    )
    error = CallErrorSerializer(allow_null=True)
    duration_ms = serializers.FloatField(allow_null=True)
    started_at = serializers.DateTimeField()


class CallView(ContextView):
    """`GET runs/{id}/calls/{call_id}`."""

    @extend_schema(operation_id="read_call", responses=CallSerializer)
    def get(self, request: Request, run_id: UUID, call_id: str) -> Response:
        """Show one call of a tool in full, for the run's owner."""
        return Response(CallSerializer(read_call(self.context, run_id, call_id)).data)
