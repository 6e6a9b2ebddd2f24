"""What a run has done so far, for whichever worker goes on with it."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class RunStep(models.Model):
    """One finished step of a run under way: a model's response, or a tool's outcome; gone with the run's end.

    `(run, name)` is its identity; `agents.journal` says what the names are, and what the contents hold.
    """

    pk = models.CompositePrimaryKey("run_id", "name")
    # As with events, the one real foreign key is (run, tenant, user), written in the migration.
    run = models.ForeignKey("agents.Run", on_delete=models.CASCADE, related_name="steps", db_constraint=False)
    name = models.CharField(max_length=160)
    tenant = models.ForeignKey(
        "contexts.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    attempt = models.PositiveIntegerField(help_text="Which attempt took it.")
    content = models.TextField(help_text="JSON, as it came: not redacted, and shown to no one.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("run_id", "created_at", "name")

    def __str__(self) -> str:
        return f"{self.name} of {self.run_id}"
