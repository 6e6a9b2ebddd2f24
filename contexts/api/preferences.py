"""How the user wants work to be done."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contexts.api.base import ContextView
from contexts.api.parsing import RequestSerializer, TextField
from contexts.preferences import (
    validate_allowed_model,
    validate_known_agent,
    validate_language,
    validate_time_zone,
)
from contexts.profiles import change_preferences, preferences_of

_MODEL = "Model of the agents, one of those that the installation offers."
_LANGUAGE = "Language of answers as a BCP 47 tag, such as en or pt-BR."
_TIME_ZONE = "IANA time zone, such as Europe/Berlin."
_AGENTS = "Names of the agents switched on; triage and reporting always are."
_CLEARED = " Null or blank: not stated."


class StatedSerializer(serializers.Serializer[Any]):
    """What the user states; null: not stated."""

    model = serializers.CharField(allow_null=True, help_text=_MODEL)
    language = serializers.CharField(allow_null=True, help_text=_LANGUAGE)
    time_zone = serializers.CharField(allow_null=True, help_text=_TIME_ZONE)
    agents = serializers.ListField(child=serializers.CharField(), allow_null=True, help_text=_AGENTS)


class EffectiveSerializer(serializers.Serializer[Any]):
    """What holds after the tier, the tenant and the user."""

    model = serializers.CharField(help_text=_MODEL)
    language = serializers.CharField(allow_null=True, help_text=f"{_LANGUAGE} Null: the question's.")
    time_zone = serializers.CharField(help_text=_TIME_ZONE)
    agents = serializers.ListField(child=serializers.CharField(), help_text=_AGENTS)


class PreferencesSerializer(serializers.Serializer[Any]):
    """A user's preferences."""

    stated = StatedSerializer()
    effective = EffectiveSerializer()


class PreferencesChangeSerializer(RequestSerializer):
    """What the user states from now on; what is left out stays as it is."""

    model = TextField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=200,
        validators=[validate_allowed_model],
        help_text=_MODEL + _CLEARED,
    )
    language = TextField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=35,
        validators=[validate_language],
        help_text=_LANGUAGE + _CLEARED,
    )
    time_zone = TextField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=64,
        validators=[validate_time_zone],
        help_text=_TIME_ZONE + _CLEARED,
    )
    agents = serializers.ListField(
        child=TextField(max_length=64, validators=[validate_known_agent]),
        required=False,
        allow_null=True,
        max_length=32,
        help_text=_AGENTS + _CLEARED,
    )


class PreferencesView(ContextView):
    """`GET, PATCH me/preferences`."""

    @extend_schema(operation_id="read_preferences", responses=PreferencesSerializer)
    def get(self, request: Request) -> Response:
        """Tell what the user states, and what holds after their tier and tenant."""
        return Response(PreferencesSerializer(preferences_of(self.context)).data)

    @extend_schema(
        operation_id="change_preferences",
        request=PreferencesChangeSerializer,
        responses=PreferencesSerializer,
    )
    def patch(self, request: Request) -> Response:
        """State preferences; they hold from the next run on."""
        changes = self.read(PreferencesChangeSerializer)
        return Response(PreferencesSerializer(change_preferences(self.context, changes)).data)
