"""What tools were given and returned, where it is too long for events."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from contexts.row_security import EVENT_LOG, OWN, secure

# As in 0002: a call cannot name another owner than its run's.
TIE = """
ALTER TABLE agents_toolcall ADD CONSTRAINT agents_toolcall_run_id_owner
    FOREIGN KEY (run_id, tenant_id, user_id) REFERENCES agents_run (id, tenant_id, user_id)
    DEFERRABLE INITIALLY DEFERRED
"""


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0007_append_events"),
        ("contexts", "0006_row_security"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ToolCall",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "call_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("call_id", models.CharField(max_length=128)),
                ("tool_name", models.CharField(max_length=200)),
                ("params", models.JSONField()),
                ("result", models.JSONField(null=True)),
                ("error", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tool_calls",
                        to="agents.run",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="contexts.tenant",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("run_id", "created_at"),
            },
        ),
        migrations.RunSQL(TIE, "ALTER TABLE agents_toolcall DROP CONSTRAINT agents_toolcall_run_id_owner"),
        secure(
            "agents_toolcall",
            select_own=OWN,
            delete_own=OWN,
            select_event_log=EVENT_LOG,
            insert_event_log=EVENT_LOG,
            update_event_log=EVENT_LOG,
        ),
    ]
