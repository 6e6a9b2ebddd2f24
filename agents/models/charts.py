"""Charts that an answer shows."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from contexts.identifiers import new_id


class Chart(models.Model):
    """A picture drawn during a run, rendered to SVG on the server; seen by the run's owner alone."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("contexts.Tenant", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    run = models.ForeignKey("agents.Run", on_delete=models.CASCADE, related_name="charts")
    title = models.CharField(max_length=200)
    alt_text = models.TextField()
    svg = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("run", "id")
        constraints = (
            models.CheckConstraint(condition=~models.Q(alt_text=""), name="chart_has_alternative_text"),
            models.CheckConstraint(condition=models.Q(svg__startswith="<svg"), name="chart_is_svg"),
        )

    def __str__(self) -> str:
        return self.title
