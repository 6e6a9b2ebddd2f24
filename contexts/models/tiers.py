"""Tiers and the limits that come with them."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from contexts.identifiers import new_id
from contexts.models.amounts import AMOUNT_BOUND, amount_field, check_amount
from contexts.models.preferences import StatedPreferences
from contexts.resources import RULES, Resource


class Tier(StatedPreferences):
    """A service level that tenants are put on."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=64)
    rank = models.PositiveSmallIntegerField(unique=True, help_text="Order of the tiers, lowest first.")
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Share of the workers when tenants wait in line: a tenant of weight 4 has four runs begun "
        "for each one of a tenant of weight 1.",
    )
    fallback_model = models.CharField(
        max_length=200,
        blank=True,
        default="",
        help_text="A cheaper model, used from the soft limit of tokens or cost on; empty: none.",
    )

    class Meta:
        ordering = ("rank",)
        constraints = (
            models.CheckConstraint(condition=~models.Q(slug=""), name="tier_has_a_slug"),
            models.CheckConstraint(condition=models.Q(weight__range=(1, 100)), name="tier_has_a_weight"),
        )

    def __str__(self) -> str:
        return self.name


class TierLimit(models.Model):
    """How much of one resource a member of a tenant on this tier may use, and all of them together."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tier = models.ForeignKey(Tier, on_delete=models.CASCADE, related_name="limits")
    resource = models.CharField(max_length=32, choices=Resource)
    limit = amount_field(help_text="For each member.")
    tenant_limit = amount_field(
        null=True, blank=True, help_text="For all members of a tenant together; empty: only their own limits."
    )
    soft_percent = models.PositiveSmallIntegerField(
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="A warning is sent at this share, in percent.",
    )

    class Meta:
        ordering = ("tier", "resource")
        constraints = (
            models.UniqueConstraint(fields=("tier", "resource"), name="tier_limit_is_unique"),
            models.CheckConstraint(
                condition=models.Q(limit__gte=0, limit__lt=AMOUNT_BOUND), name="tier_limit_is_an_amount"
            ),
            models.CheckConstraint(
                condition=models.Q(tenant_limit=None)
                | models.Q(tenant_limit__gte=0, tenant_limit__lt=AMOUNT_BOUND),
                name="tier_limit_of_tenants_is_an_amount",
            ),
            models.CheckConstraint(
                condition=models.Q(resource__in=Resource.values), name="tier_limit_resource_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(soft_percent__range=(1, 100)), name="tier_limit_soft_percent_is_a_share"
            ),
        )

    def __str__(self) -> str:
        return f"{self.tier}: {self.limit.normalize():f} {self.resource} a {RULES[self.resource].window}"

    def clean(self) -> None:
        """Refuse amounts that the resource cannot have.

        Raises:
            ValidationError: for a fraction of what is whole.
        """
        check_amount(self.resource, limit=self.limit, tenant_limit=self.tenant_limit)
