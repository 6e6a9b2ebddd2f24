"""The tiers and their default limits; operators change the rows in the admin."""

from django.db import migrations

MEBIBYTE = 2**20
MEGABYTE = 10**6

# resource: (window, limits of free, early, mid, enterprise)
LIMITS = {
    "agent_runs": ("day", (10, 100, 500, 1_000)),
    "concurrent_runs": ("lease", (1, 3, 5, 10)),
    "websocket_connections": ("lease", (2, 5, 10, 50)),
    "tokens": ("day", (50_000, 500_000, 2_000_000, 10_000_000)),
    "cost_usd": ("month", (1, 25, 100, 1_000)),
    "cpu_seconds": ("day", (60, 600, 3_000, 20_000)),
    "memory_bytes": ("context", (256 * MEBIBYTE, 512 * MEBIBYTE, 1_024 * MEBIBYTE, 2_048 * MEBIBYTE)),
    "run_seconds": ("run", (30, 60, 120, 300)),
    "storage_bytes": ("total", (50 * MEGABYTE, 500 * MEGABYTE, 5_000 * MEGABYTE, 50_000 * MEGABYTE)),
    "messages": ("minute", (30, 60, 120, 600)),
    "retention_days": ("total", (7, 30, 90, 365)),
}


def add_tiers(apps, schema_editor):
    tier_model = apps.get_model("contexts", "Tier")
    limit_model = apps.get_model("contexts", "TierLimit")
    for rank, slug in enumerate(("free", "early", "mid", "enterprise")):
        tier = tier_model.objects.create(slug=slug, name=slug.capitalize(), rank=rank)
        limit_model.objects.bulk_create(
            limit_model(tier=tier, resource=resource, window=window, limit=limits[rank])
            for resource, (window, limits) in LIMITS.items()
        )


def remove_tiers(apps, schema_editor):
    apps.get_model("contexts", "Tier").objects.filter(
        slug__in=("free", "early", "mid", "enterprise")
    ).delete()


class Migration(migrations.Migration):
    dependencies = [("contexts", "0001_initial")]
    operations = [migrations.RunPython(add_tiers, remove_tiers)]
