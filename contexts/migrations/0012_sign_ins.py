"""Sign-ins by token have a row each, and tickets know by which sign-in they were issued."""

from datetime import UTC, datetime

import contexts.identifiers
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("contexts", "0011_staff_permissions")]

    operations = [
        # Good for a minute, and of no known sign-in.
        migrations.RunSQL("TRUNCATE contexts_socketticket", migrations.RunSQL.noop),
        migrations.CreateModel(
            name="TokenFamily",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=contexts.identifiers.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "token families",
                "ordering": ("-created_at",),
                "indexes": [models.Index(fields=["user", "expires_at"], name="token_family_by_user")],
            },
        ),
        migrations.AddField("socketticket", "kind", models.CharField(default="", max_length=16), False),
        migrations.AddField(
            "socketticket", "reference", models.CharField(blank=True, default="", max_length=64), False
        ),
        migrations.AddField(
            "socketticket", "password_mark", models.CharField(default="", max_length=128), False
        ),
        migrations.AddField(
            "socketticket",
            "signed_in_until",
            models.DateTimeField(default=datetime(2000, 1, 1, tzinfo=UTC)),
            False,
        ),
    ]
