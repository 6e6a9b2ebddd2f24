"""Agent runs: one question on its way to one answer."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id


class RunStatus(models.TextChoices):
    """Where a run stands; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CancelledBy(models.TextChoices):
    """Who had a run cancelled, as `run_cancelled` tells it."""

    USER = "user"
    OPERATOR = "operator"
    SIGN_OUT = "sign_out"


OPEN_STATUSES = (RunStatus.QUEUED, RunStatus.RUNNING)
WITHOUT_ANSWER = (RunStatus.FAILED, RunStatus.CANCELLED)


class TenantTurn(models.Model):
    """When it is a tenant's turn to have its next run begun, in the virtual time of fair queuing."""

    tenant = models.OneToOneField("contexts.Tenant", primary_key=True, on_delete=models.CASCADE)
    tag = models.BigIntegerField(help_text="Of the last run that was queued.")

    def __str__(self) -> str:
        return f"{self.tenant}: {self.tag}"


class Run(models.Model):
    """The work on one message; its events are numbered from 1."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="runs")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="runs")
    thread = models.ForeignKey("agents.Thread", on_delete=models.CASCADE, related_name="runs")
    text = models.TextField()
    agent = models.CharField(
        max_length=64, blank=True, default="", help_text="Asked for by name; empty: triage decides."
    )
    dataset_ids = ArrayField(models.UUIDField(), default=list, blank=True)
    status = models.CharField(max_length=16, choices=RunStatus, default=RunStatus.QUEUED)
    attempt = models.PositiveIntegerField(
        default=0, help_text="How often a worker has taken the run; fences writes."
    )
    hand_backs = models.PositiveIntegerField(
        default=0,
        help_text="How many attempts were given back undone, as when their worker was stopped.",
    )
    model = models.CharField(max_length=200, blank=True, default="")
    job_id = models.BigIntegerField(null=True, help_text="Empty while the run waits for a place.")
    idempotency_key = models.CharField(max_length=200, null=True)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.CharField(
        max_length=16, choices=CancelledBy, blank=True, default="", help_text="Who asked for it."
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at", "-id")
        permissions = (
            ("cancel_run", "Can cancel runs of every tenant"),
            ("retry_run", "Can have runs of every tenant asked again"),
        )
        indexes = (
            models.Index(fields=("thread", "created_at", "id"), name="run_by_thread"),
            models.Index(fields=("user", "-created_at"), name="run_by_user"),
            models.Index(
                fields=("tenant", "user", "created_at"),
                name="run_waiting",
                condition=models.Q(status=RunStatus.QUEUED, job_id=None),
            ),
            models.Index(
                fields=("status", "created_at"), name="run_open", condition=models.Q(status__in=OPEN_STATUSES)
            ),
            # For operators; with `run_slow`, which the migration has.
            models.Index(fields=("-created_at", "-id"), name="run_by_time"),
            models.Index(fields=("tenant", "-created_at", "-id"), name="run_by_tenant"),
            models.Index(
                fields=("status", "-created_at", "-id"),
                name="run_without_answer",
                condition=models.Q(status__in=WITHOUT_ANSWER),
            ),
            models.Index(
                fields=("error_code", "-created_at", "-id"),
                name="run_by_error",
                condition=~models.Q(error_code=""),
            ),
            models.Index(
                fields=("-created_at", "-id"), name="run_begun_again", condition=models.Q(attempt__gt=1)
            ),
        )
        constraints = (
            models.CheckConstraint(condition=~models.Q(text=""), name="run_has_text"),
            models.CheckConstraint(
                condition=models.Q(status__in=RunStatus.values), name="run_status_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=OPEN_STATUSES, finished_at__isnull=True)
                | (~models.Q(status__in=OPEN_STATUSES) & models.Q(finished_at__isnull=False)),
                name="run_is_finished_exactly_when_final",
            ),
            models.CheckConstraint(
                condition=models.Q(input_tokens__gte=0, output_tokens__gte=0, cost_usd__gte=0),
                name="run_usage_is_not_negative",
            ),
            models.UniqueConstraint(
                fields=("tenant", "user", "idempotency_key"),
                name="run_idempotency_key_is_unique",
                condition=models.Q(idempotency_key__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"Run {self.id} ({self.status})"
