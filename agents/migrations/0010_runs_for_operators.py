"""What operators may do with runs, and how they find one among millions."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

# `agents.admin.run_filters` asks for the same. Not among the model's indexes, which know no such condition.
SLOW = """
CREATE INDEX CONCURRENTLY run_slow ON agents_run (created_at DESC, id DESC)
    WHERE finished_at - started_at > interval '1 minute'
"""

NEWEST_FIRST = ("-created_at", "-id")
INDEXES = (
    models.Index(fields=NEWEST_FIRST, name="run_by_time"),
    models.Index(fields=("tenant", *NEWEST_FIRST), name="run_by_tenant"),
    models.Index(
        fields=("status", *NEWEST_FIRST),
        name="run_without_answer",
        condition=models.Q(status__in=("failed", "cancelled")),
    ),
    models.Index(
        fields=("error_code", *NEWEST_FIRST), name="run_by_error", condition=~models.Q(error_code="")
    ),
    models.Index(fields=NEWEST_FIRST, name="run_begun_again", condition=models.Q(attempt__gt=1)),
)


class Migration(migrations.Migration):
    # Whoever asks while millions of runs are indexed is not kept waiting.
    atomic = False
    dependencies = [("agents", "0009_run_steps")]
    operations = [
        migrations.AlterModelOptions(
            name="run",
            options={
                "ordering": ("-created_at", "-id"),
                "permissions": (
                    ("cancel_run", "Can cancel runs of every tenant"),
                    ("retry_run", "Can have runs of every tenant asked again"),
                ),
            },
        ),
        *(AddIndexConcurrently(model_name="run", index=index) for index in INDEXES),
        migrations.RunSQL(SLOW, "DROP INDEX CONCURRENTLY run_slow"),
    ]
