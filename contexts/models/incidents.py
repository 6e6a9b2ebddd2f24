"""Breaches of isolation, as operators see and resolve them."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id


class BreachKind(models.TextChoices):
    """What was found where it must not be."""

    SHARED_OBJECT = "shared_object"
    FOREIGN_OBJECT = "foreign_object"
    FOREIGN_IDENTIFIER = "foreign_identifier"
    CANARY = "canary"


class Detector(models.TextChoices):
    """Which check found it."""

    ON_WRITE = "on_write"
    ON_DEMAND = "on_demand"
    ON_THE_WAY_OUT = "on_the_way_out"
    ON_CREATION = "on_creation"


class SecurityIncident(models.Model):
    """One breach: the contexts involved and where it was found; ids and paths, never content."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=32, choices=BreachKind)
    detector = models.CharField(max_length=32, choices=Detector)
    blocked = models.BooleanField(help_text="Whether it was stopped; otherwise the value was copied.")
    contexts = models.JSONField(default=list, help_text="The contexts involved, each as its ids.")
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    resolved_at = models.DateTimeField(null=True, editable=False)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    resolution = models.TextField(
        blank=True, default="", help_text="What was found out and done; resolves the incident."
    )

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (
            models.Index(
                fields=("-created_at",), name="incident_open", condition=models.Q(resolved_at__isnull=True)
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(kind__in=BreachKind.values), name="incident_kind_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(detector__in=Detector.values), name="incident_detector_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(resolved_at__isnull=True) | ~models.Q(resolution=""),
                name="incident_is_resolved_with_a_note",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} found {self.get_detector_display()}"
