"""What happened, and who did it: entries that are only ever added, and the chains that seal them."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class AuditEntry(models.Model):
    """One thing done or refused; ids and figures, never content.

    Nothing of it changes, but that `details` become `{"erased": true}` when a person's data is erased.
    Entries outlive the tenant and the user they name, so neither is tied by a foreign key of the
    database. An entry without a tenant belongs to the installation itself.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(
        "contexts.Tenant", null=True, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
    )
    action = models.CharField(max_length=64)
    context_id = models.UUIDField(null=True)
    run_id = models.UUIDField(null=True)
    request_id = models.UUIDField(null=True)
    details = models.JSONField(default=dict)
    # The three below are the database's own; `contexts.audit_seals` says what they are for.
    details_salt = models.BinaryField(
        max_length=16,
        null=True,
        editable=False,
        help_text="Random, so that nobody guesses what a digest is of; gone with what was erased.",
    )
    details_digest = models.BinaryField(
        max_length=32,
        null=True,
        editable=False,
        help_text="SHA-256 of salt and details, which the seal is over; empty for the oldest entries.",
    )
    erased_in = models.BigIntegerField(
        null=True, editable=False, help_text="The entry that tells of the details' erasure."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-id",)
        indexes = (
            models.Index(fields=("tenant", "-id"), name="audit_by_tenant"),
            models.Index(fields=("run_id",), name="audit_by_run", condition=models.Q(run_id__isnull=False)),
        )
        constraints = (
            models.CheckConstraint(condition=~models.Q(action=""), name="audit_entry_has_an_action"),
        )

    def __str__(self) -> str:
        return f"{self.action} at {self.created_at:%Y-%m-%d %H:%M:%S}"


class AuditChain(models.Model):
    """The head of one tenant's chain of entries; the nil UUID is the installation's own."""

    id = models.UUIDField(primary_key=True, editable=False)
    length = models.BigIntegerField(default=0, help_text="How many entries were ever sealed.")
    head = models.BinaryField(max_length=32, help_text="SHA-256 of the newest link.")
    pruned = models.BigIntegerField(default=0, help_text="How many of the oldest entries were pruned.")
    pruned_head = models.BinaryField(max_length=32, help_text="SHA-256 of the newest pruned link.")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(pruned__gte=0, length__gte=models.F("pruned")),
                name="audit_chain_counts_up",
            ),
        )

    def __str__(self) -> str:
        return f"{self.id}: {self.length}"


class AuditLink(models.Model):
    """The seal of one entry: its number in its chain, and a hash over it and the link before."""

    entry_id = models.BigIntegerField(primary_key=True)
    chain_id = models.UUIDField()
    number = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("chain_id", "number"), name="audit_link_is_unique"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="audit_link_counts_from_one"),
        )

    def __str__(self) -> str:
        return f"{self.chain_id} #{self.number}"
