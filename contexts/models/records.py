"""Execution contexts as the database knows them, so that a dead process's can be found."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class ContextRecord(models.Model):
    """A root execution context: which process holds it, and when it was opened and closed."""

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="context_records")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    operation = models.CharField(max_length=64)
    run_id = models.UUIDField(null=True)
    host = models.CharField(max_length=255)
    process_id = models.PositiveIntegerField()
    process_started_at = models.DateTimeField(help_text="Tells a process from a later one with the same id.")
    opened_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    close_reason = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ("-opened_at",)
        indexes = (
            models.Index(
                fields=("expires_at",), name="context_record_open", condition=models.Q(closed_at__isnull=True)
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("opened_at")), name="context_record_lives_a_while"
            ),
        )

    def __str__(self) -> str:
        return f"{self.operation} {self.id}"
