"""What operators decide for one tenant or member: other limits, and more for once."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id
from contexts.models.amounts import AMOUNT_BOUND, amount_field, check_amount
from contexts.resources import Resource


class AppliesTo(models.TextChoices):
    """Whose limit is meant."""

    MEMBER = "member", "each member"
    TENANT = "tenant", "all members together"


class Adjustment(models.Model):
    """What overrides and grants have in common."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="%(class)s_set")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="For this member only; empty: for all of them.",
    )
    resource = models.CharField(max_length=32, choices=Resource)
    applies_to = models.CharField(max_length=8, choices=AppliesTo, default=AppliesTo.MEMBER)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="UTC; empty: until it is deleted.")
    reason = models.CharField(max_length=500)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValidationError: when one member is named and the limit of all is meant.
        """
        if self.user_id is not None and self.applies_to == AppliesTo.TENANT:
            raise ValidationError({"applies_to": "One member has no limit for all members together."})


def _adjustment_constraints(name: str, amount: str) -> list[models.BaseConstraint]:
    return [
        models.CheckConstraint(
            condition=models.Q(**{f"{amount}__gte": 0, f"{amount}__lt": AMOUNT_BOUND}),
            name=f"{name}_is_an_amount",
        ),
        models.CheckConstraint(
            condition=models.Q(resource__in=Resource.values), name=f"{name}_resource_is_known"
        ),
        models.CheckConstraint(
            condition=models.Q(applies_to=AppliesTo.MEMBER)
            | models.Q(applies_to=AppliesTo.TENANT, user__isnull=True),
            name=f"{name}_applies_to_one_or_all",
        ),
        models.CheckConstraint(condition=~models.Q(reason=""), name=f"{name}_has_a_reason"),
    ]


class QuotaOverride(Adjustment):
    """A limit in place of the tier's; a member's own comes first, then the newest."""

    limit = amount_field()

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("tenant", "resource"), name="quota_override_by_tenant"),)
        constraints = _adjustment_constraints("quota_override", "limit")

    def __str__(self) -> str:
        return f"{self.resource}: {self.limit.normalize():f}"

    def clean(self) -> None:
        """Refuse what contradicts itself, and amounts that the resource cannot have."""
        super().clean()
        check_amount(self.resource, limit=self.limit)


class QuotaGrant(Adjustment):
    """An amount on top of the limit, in one window."""

    amount = amount_field()
    window_start = models.DateTimeField(
        help_text="Start of the window (UTC) in which it may be used; the epoch for totals and leases."
    )

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("tenant", "resource"), name="quota_grant_by_tenant"),)
        constraints = _adjustment_constraints("quota_grant", "amount")

    def __str__(self) -> str:
        return f"{self.resource}: {self.amount.normalize():f} more"

    def clean(self) -> None:
        """Refuse what contradicts itself, and amounts that the resource cannot have."""
        super().clean()
        check_amount(self.resource, amount=self.amount)
