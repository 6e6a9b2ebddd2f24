"""What each user has used and reserved of each limited resource."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.models.tiers import Resource


class QuotaUsage(models.Model):
    """One counter: a user's use of one resource in the window that began at `window_start`."""

    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="usage")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="usage")
    resource = models.CharField(max_length=32, choices=Resource)
    window_start = models.DateTimeField(help_text="Start of the window (UTC); the epoch for totals.")
    used = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    reserved = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "quota usage"
        verbose_name_plural = "quota usage"
        ordering = ("-window_start", "resource")
        constraints = (
            models.UniqueConstraint(
                fields=("user", "tenant", "resource", "window_start"), name="quota_usage_is_unique"
            ),
            models.CheckConstraint(condition=models.Q(used__gte=0), name="quota_used_is_not_negative"),
            models.CheckConstraint(
                condition=models.Q(reserved__gte=0), name="quota_reserved_is_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(resource__in=Resource.values), name="quota_usage_resource_is_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.used.normalize():f} {self.resource}"
