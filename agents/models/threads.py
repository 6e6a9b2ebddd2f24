"""Conversations."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id


class Thread(models.Model):
    """A conversation of one user with the agents."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="threads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="threads")
    title = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-updated_at", "-id")
        indexes = (models.Index(fields=("user", "-updated_at", "-id"), name="thread_by_user"),)

    def __str__(self) -> str:
        return self.title or f"Thread {self.id}"


class Author(models.TextChoices):
    """Who wrote a message."""

    USER = "user"
    ASSISTANT = "assistant"


class Message(models.Model):
    """What the user asked, or what the agents answered."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    thread = models.ForeignKey(Thread, on_delete=models.CASCADE, related_name="messages")
    author = models.CharField(max_length=16, choices=Author)
    text = models.TextField()
    run = models.ForeignKey("agents.Run", null=True, on_delete=models.CASCADE, related_name="messages")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("created_at", "id")
        indexes = (models.Index(fields=("thread", "created_at", "id"), name="message_by_thread"),)
        constraints = (
            models.CheckConstraint(condition=~models.Q(text=""), name="message_has_text"),
            models.CheckConstraint(
                condition=models.Q(author__in=Author.values), name="message_author_is_known"
            ),
            models.UniqueConstraint(fields=("run", "author"), name="message_once_per_run_and_author"),
        )

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:60]}"
