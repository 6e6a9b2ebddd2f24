"""Who is asking."""

from typing import Any

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contexts.api.base import ContextView
from contexts.profiles import profile_of


class ProfileSerializer(serializers.Serializer[Any]):
    """A user as they see themselves."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    email = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()
    tier = serializers.CharField()
    tenant = inline_serializer(
        "TenantName",
        {"id": serializers.UUIDField(), "slug": serializers.CharField(), "name": serializers.CharField()},
    )


class MeView(ContextView):
    """`GET me`."""

    @extend_schema(operation_id="read_me", responses=ProfileSerializer)
    def get(self, request: Request) -> Response:
        """Tell who is signed in, in which tenant, role and tier."""
        return Response(ProfileSerializer(profile_of(self.context)).data)
