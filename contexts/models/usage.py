"""What users and tenants have used and reserved, each reservation, and the ledger of every change."""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from contexts.resources import Resource


def _counter_constraints(name: str) -> list[models.BaseConstraint]:
    return [
        models.CheckConstraint(condition=models.Q(used__gte=0), name=f"{name}_used_is_not_negative"),
        models.CheckConstraint(condition=models.Q(reserved__gte=0), name=f"{name}_reserved_is_not_negative"),
        models.CheckConstraint(
            condition=models.Q(resource__in=Resource.values), name=f"{name}_usage_resource_is_known"
        ),
    ]


class Counter(models.Model):
    """The use of one resource in the window that began at `window_start`.

    Written by the database's quota functions alone (`contexts.quotas`), together with the ledger.
    """

    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="%(class)s_set")
    resource = models.CharField(max_length=32, choices=Resource)
    window_start = models.DateTimeField(help_text="Start of the window (UTC); the epoch for totals.")
    used = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    reserved = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True


class QuotaUsage(Counter):
    """What one member of a tenant has used and reserved."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="usage")

    class Meta:
        verbose_name = "quota usage"
        verbose_name_plural = "quota usage"
        ordering = ("-window_start", "resource")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "resource", "window_start", "user"), name="quota_usage_is_unique"
            ),
            *_counter_constraints("quota"),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.used.normalize():f} {self.resource}"


class TenantQuotaUsage(Counter):
    """What all members of a tenant have used and reserved together."""

    class Meta:
        verbose_name = "tenant's quota usage"
        verbose_name_plural = "tenants' quota usage"
        ordering = ("-window_start", "resource")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "resource", "window_start"), name="tenant_quota_usage_is_unique"
            ),
            *_counter_constraints("tenant_quota"),
        )

    def __str__(self) -> str:
        return f"{self.tenant}: {self.used.normalize():f} {self.resource}"


class QuotaReservation(models.Model):
    """What is set aside for a piece of work until it is settled, released or `expires_at` has passed.

    That of a run has the run's id. The row goes when the reservation ends; the ledger keeps what became
    of it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey(
        "contexts.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    purpose = models.CharField(max_length=32, help_text="For what, such as `run`, `socket` or `upload`.")
    # One element a line: a resource in a window.
    resources = ArrayField(models.CharField(max_length=32))
    window_starts = ArrayField(models.DateTimeField())
    amounts = ArrayField(models.DecimalField(max_digits=24, decimal_places=6))
    fence = models.IntegerField(
        db_default=0, help_text="The attempt at the work that may draw on it; 0 before the first."
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("tenant", "expires_at"), name="quota_reservation_expiry"),)

    def __str__(self) -> str:
        return f"{self.purpose} {self.id}"


class EntryKind(models.TextChoices):
    """Why a counter changed."""

    RESERVED = "reserved"
    USED = "used"
    DRAWN = "drawn"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"
    GIVEN_BACK = "given_back"
    RESET = "reset"


class QuotaEntry(models.Model):
    """One line of the ledger: a change of a member's counter, and of the tenant's by the same amount.

    A counter is the sum of its entries. They are only ever added, until their window is long over; they
    outlive the tenant and the user they name, so neither is tied by a foreign key of the database.
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField(db_default=Now())
    tenant = models.ForeignKey(
        "contexts.Tenant", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    resource = models.CharField(max_length=32, choices=Resource)
    window_start = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=EntryKind)
    used = models.DecimalField(max_digits=24, decimal_places=6, help_text="Added to what is used.")
    reserved = models.DecimalField(max_digits=24, decimal_places=6, help_text="Added to what is reserved.")
    reservation_id = models.UUIDField(null=True)

    class Meta:
        verbose_name = "quota ledger entry"
        verbose_name_plural = "quota ledger"
        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=("tenant", "user", "resource", "window_start"), name="quota_entry_by_counter"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.resource}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: only the database's quota functions write entries."""
        raise TypeError("The ledger is written together with the counters, by the quota functions.")
