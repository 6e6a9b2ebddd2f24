"""What tools were given and returned, where that is too long for the events that tell of it."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class ToolCall(models.Model):
    """The parameters and the outcome of one call, without secrets; `(run, call_id)` is its identity."""

    pk = models.CompositePrimaryKey("run_id", "call_id")
    # As with events, the one real foreign key is (run, tenant, user), written in the migration.
    run = models.ForeignKey(
        "agents.Run", on_delete=models.CASCADE, related_name="tool_calls", db_constraint=False
    )
    call_id = models.CharField(max_length=128)
    tenant = models.ForeignKey(
        "contexts.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    tool_name = models.CharField(max_length=200)
    params = models.JSONField()
    result = models.JSONField(null=True)
    error = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("run_id", "created_at")

    def __str__(self) -> str:
        return f"{self.tool_name} in {self.run_id}"
