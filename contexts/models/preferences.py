"""Preferences that a tier, a tenant and a user may each state; the last one stated holds."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from contexts.preferences import validate_agent_name, validate_language, validate_model, validate_time_zone


class StatedPreferences(models.Model):
    """What is preferred here; blank leaves it to whoever stands above."""

    preferred_model = models.CharField(
        max_length=200,
        blank=True,
        default="",
        validators=[validate_model],
        help_text="Model of the agents, such as openai:gpt-4o; blank: not stated here.",
    )
    preferred_language = models.CharField(
        max_length=35,
        blank=True,
        default="",
        validators=[validate_language],
        help_text="Language of answers as a BCP 47 tag, such as en or pt-BR; blank: not stated here.",
    )
    preferred_time_zone = models.CharField(
        max_length=64,
        blank=True,
        default="",
        validators=[validate_time_zone],
        help_text="IANA time zone, such as Europe/Berlin; blank: not stated here.",
    )
    preferred_agents = ArrayField(
        models.CharField(max_length=64, validators=[validate_agent_name]),
        null=True,
        blank=True,
        help_text="Names of the agents switched on, separated by commas; blank: not stated here.",
    )

    class Meta:
        abstract = True
