"""Usage logs that a tenant has given Netra."""

from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id


class Dataset(models.Model):
    """An imported log of LLM calls, stored as Parquet and readable by its tenant's members."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="datasets")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="datasets",
        help_text="Who uploaded it; empty: somebody whose data was erased.",
    )
    former_user_id = models.UUIDField(
        null=True, editable=False, help_text="Under which id the ledger has the storage that they left."
    )
    name = models.CharField(max_length=200)
    filename = models.CharField(max_length=255)
    format = models.CharField(max_length=32)
    assumed_model = models.CharField(max_length=200, blank=True, default="")
    names_models = models.BooleanField()
    time_is_relative = models.BooleanField(default=False)
    rows = models.BigIntegerField()
    requests = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    stored_bytes = models.BigIntegerField()
    first_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    notes = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(fields=("tenant", "-created_at", "-id"), name="dataset_by_tenant"),)
        constraints = (
            models.CheckConstraint(condition=~models.Q(name=""), name="dataset_has_a_name"),
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, former_user_id=None)
                | models.Q(user=None, former_user_id__isnull=False),
                name="dataset_has_an_uploader",
            ),
            models.CheckConstraint(condition=models.Q(rows__gte=1), name="dataset_has_rows"),
            models.CheckConstraint(
                condition=models.Q(
                    requests__gte=0, input_tokens__gte=0, output_tokens__gte=0, stored_bytes__gte=0
                ),
                name="dataset_counts_are_not_negative",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def charged_to(self) -> UUID:
        """Return under whose id its storage is counted, also when the uploader's data was erased."""
        user_id = self.user_id or self.former_user_id
        assert user_id is not None
        return user_id

    @property
    def path(self) -> Path:
        """Where the Parquet file lies."""
        return Path(settings.DATASET_DIR) / str(self.tenant_id) / f"{self.id}.parquet"
