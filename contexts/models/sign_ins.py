"""What signing in with a password leaves behind, so that it can be ended."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id


class TokenFamily(models.Model):
    """One sign-in that was given tokens: all of them name it, and end with it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    """When the newest refresh token does."""
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-created_at",)
        verbose_name_plural = "token families"
        indexes = (models.Index(fields=("user", "expires_at"), name="token_family_by_user"),)

    def __str__(self) -> str:
        return f"Tokens until {self.expires_at:%Y-%m-%d %H:%M}"
