"""The operators' pages of tenants, tiers, quotas, incidents and audit."""

from contexts.admin import adjustments, audit, incidents, quotas, tenants, third_party, tiers, users

__all__ = ["adjustments", "audit", "incidents", "quotas", "tenants", "third_party", "tiers", "users"]
