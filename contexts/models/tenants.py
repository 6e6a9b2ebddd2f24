"""Organisations and who belongs to them."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id
from contexts.models.preferences import StatedPreferences


class Role(models.TextChoices):
    """What a member may do in a tenant, most first."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Tenant(StatedPreferences):
    """An organisation whose data and cost are kept apart from every other's."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=63, unique=True)
    tier = models.ForeignKey("contexts.Tier", on_delete=models.PROTECT, related_name="tenants")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("name",)
        permissions = (
            ("see_every_tenant", "Can see every tenant's rows"),
            ("move_tenant", "Can put a tenant on another tier"),
            ("reset_quotas", "Can reset what a member has used"),
        )
        constraints = (
            models.CheckConstraint(condition=~models.Q(name=""), name="tenant_has_a_name"),
            models.CheckConstraint(condition=~models.Q(slug=""), name="tenant_has_a_slug"),
        )

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's place in a tenant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("created_at",)
        constraints = (
            models.UniqueConstraint(fields=("tenant", "user"), name="membership_is_unique"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_is_known"),
        )

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant} ({self.role})"
