"""A dataset may stay with its tenant when the data of whoever uploaded it is erased."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("agents", "0010_runs_for_operators"),
        ("contexts", "0016_erasure"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="dataset",
            name="user",
            field=models.ForeignKey(
                help_text="Who uploaded it; empty: somebody whose data was erased.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="datasets",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="former_user_id",
            field=models.UUIDField(
                editable=False,
                help_text="Under which id the ledger has the storage that they left.",
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(user__isnull=False, former_user_id=None)
                | models.Q(user=None, former_user_id__isnull=False),
                name="dataset_has_an_uploader",
            ),
        ),
    ]
