"""What the user may still use."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contexts.api.amounts import amount_json
from contexts.api.base import ContextView
from contexts.quotas import quotas_of


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]})
class AmountField(serializers.Field[Any, Any, Any, Any]):
    """An amount in its resource's unit: US dollars as a decimal string, all else as a number."""

    def get_attribute(self, instance: Any) -> Any:
        """Return the amount together with the resource it is of."""
        return instance.resource, super().get_attribute(instance)

    def to_representation(self, value: Any) -> Any:
        """Return the amount as JSON."""
        return amount_json(*value)


class QuotaSerializer(serializers.Serializer[Any]):
    """Where the user stands with one resource."""

    resource = serializers.CharField()
    window = serializers.CharField()
    limit = AmountField()
    used = AmountField()
    reserved = AmountField()
    remaining = AmountField()
    resets_at = serializers.DateTimeField(allow_null=True)
    soft_limit = AmountField()


class QuotasView(ContextView):
    """`GET quotas`."""

    @extend_schema(
        operation_id="list_quotas", responses={(200, "application/json"): QuotaSerializer(many=True)}
    )
    def get(self, request: Request) -> Response:
        """Tell for every limited resource how much is allowed, used, reserved and left."""
        quotas = quotas_of(self.context)
        return Response(QuotaSerializer(list(quotas.values()), many=True).data)
