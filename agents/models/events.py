"""The numbered events of runs."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class RunEvent(models.Model):
    """One event of a run; `(run, seq)` is its identity, 1..n without a gap."""

    pk = models.CompositePrimaryKey("run_id", "seq")
    # The one real foreign key is (run, tenant, user), written in the migration: an event cannot
    # name another owner than its run's, and an insert checks one row instead of three.
    run = models.ForeignKey(
        "agents.Run", on_delete=models.CASCADE, related_name="events", db_constraint=False
    )
    seq = models.PositiveIntegerField()
    tenant = models.ForeignKey(
        "contexts.Tenant", on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_constraint=False
    )
    thread_id = models.UUIDField()
    type = models.CharField(max_length=32)
    agent_name = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("run_id", "seq")
        constraints = (
            models.CheckConstraint(condition=models.Q(seq__gte=1), name="event_number_starts_at_one"),
            models.CheckConstraint(condition=~models.Q(type=""), name="event_has_a_type"),
            models.UniqueConstraint(
                fields=("run",),
                name="event_one_terminal_a_run",
                condition=models.Q(type__in=("agent_completed", "run_failed", "run_cancelled")),
            ),
            models.UniqueConstraint(
                fields=("run",), name="event_one_start_a_run", condition=models.Q(type="agent_started")
            ),
        )

    def __str__(self) -> str:
        return f"{self.run_id} #{self.seq} {self.type}"
