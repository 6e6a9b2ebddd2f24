"""What happened, and who did it."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One thing done or refused in a tenant; ids and figures, never content."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="audit_entries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    action = models.CharField(max_length=64)
    run_id = models.UUIDField(null=True)
    request_id = models.UUIDField(null=True)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("tenant", "-id"), name="audit_by_tenant"),
            models.Index(fields=("run_id",), name="audit_by_run", condition=models.Q(run_id__isnull=False)),
        )
        constraints = (
            models.CheckConstraint(condition=~models.Q(action=""), name="audit_entry_has_an_action"),
        )

    def __str__(self) -> str:
        return f"{self.action} at {self.created_at:%Y-%m-%d %H:%M:%S}"
