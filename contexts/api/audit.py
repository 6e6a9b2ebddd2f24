"""The audit of a tenant."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contexts.api.base import ContextView
from contexts.api.pages import page_parameters, page_schema
from contexts.audit_trail import audit_of_tenant


class AuditEntrySerializer(serializers.Serializer[Any]):
    """One thing that was done or refused."""

    id = serializers.IntegerField()
    action = serializers.CharField()
    user_id = serializers.UUIDField(allow_null=True)
    context_id = serializers.UUIDField(allow_null=True)
    run_id = serializers.UUIDField(allow_null=True)
    request_id = serializers.UUIDField(allow_null=True)
    details = serializers.DictField()
    created_at = serializers.DateTimeField()


class AuditView(ContextView):
    """`GET audit`."""

    @extend_schema(
        operation_id="list_audit",
        parameters=page_parameters(),
        responses=page_schema("AuditPage", AuditEntrySerializer),
    )
    def get(self, request: Request) -> Response:
        """List what was done or refused in the tenant, newest first; for its owner and admins."""
        return self.page(audit_of_tenant(self.context), AuditEntrySerializer, ordering=("-id",))
