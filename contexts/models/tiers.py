"""Tiers and the limits that come with them."""

from django.core.validators import MinValueValidator
from django.db import models

from contexts.identifiers import new_id
from contexts.models.preferences import StatedPreferences


class Resource(models.TextChoices):
    """What is limited; the unit is part of the name or said beside it."""

    AGENT_RUNS = "agent_runs"
    CONCURRENT_RUNS = "concurrent_runs"
    WEBSOCKET_CONNECTIONS = "websocket_connections"
    TOKENS = "tokens"
    COST_USD = "cost_usd"
    CPU_SECONDS = "cpu_seconds"
    MEMORY_BYTES = "memory_bytes"
    RUN_SECONDS = "run_seconds"
    STORAGE_BYTES = "storage_bytes"
    MESSAGES = "messages"
    RETENTION_DAYS = "retention_days"


class Window(models.TextChoices):
    """Over which time, or per what, a limit counts."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"
    LEASE = "lease"
    CONTEXT = "context"
    RUN = "run"


class Tier(StatedPreferences):
    """A service level that tenants are put on."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=64)
    rank = models.PositiveSmallIntegerField(unique=True, help_text="Order of the tiers, lowest first.")

    class Meta:
        ordering = ("rank",)
        constraints = (models.CheckConstraint(condition=~models.Q(slug=""), name="tier_has_a_slug"),)

    def __str__(self) -> str:
        return self.name


class TierLimit(models.Model):
    """How much of one resource a member of a tenant on this tier may use in a window."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="limits")
    resource = models.CharField(max_length=32, choices=Resource)
    window = models.CharField(max_length=16, choices=Window)
    limit = models.DecimalField(max_digits=20, decimal_places=6, validators=[MinValueValidator(0)])
    soft_percent = models.PositiveSmallIntegerField(default=80, help_text="A warning is sent at this share.")

    class Meta:
        ordering = ("tier", "resource")
        constraints = (
            models.UniqueConstraint(fields=("tier", "resource"), name="tier_limit_is_unique"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="tier_limit_is_not_negative"),
            models.CheckConstraint(
                condition=models.Q(resource__in=Resource.values), name="tier_limit_resource_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(window__in=Window.values), name="tier_limit_window_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(soft_percent__range=(1, 100)), name="tier_limit_soft_percent_is_a_share"
            ),
        )

    def __str__(self) -> str:
        return f"{self.tier}: {self.limit.normalize():f} {self.resource} a {self.window}"
