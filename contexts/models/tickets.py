"""Tickets with which a signed-in user opens a socket."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class SocketTicket(models.Model):
    """A single-use, short-lived ticket; only its digest is kept, so a reader of the table has none."""

    digest = models.BinaryField(primary_key=True, max_length=32, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    kind = models.CharField(max_length=16)
    """With `reference`, `password_mark` and `signed_in_until`: the sign-in that it was issued to."""
    reference = models.CharField(max_length=64, blank=True)
    password_mark = models.CharField(max_length=128)
    signed_in_until = models.DateTimeField()

    class Meta:
        ordering = ("-created_at",)
        indexes = (models.Index(fields=("user", "expires_at"), name="socket_ticket_by_user"),)

    def __str__(self) -> str:
        return f"Ticket until {self.expires_at:%H:%M:%S}"
