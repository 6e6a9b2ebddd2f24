"""The operators' pages of tenants, tiers, quotas, incidents and audit."""

from contexts.admin import audit, incidents, quotas, tenants, third_party, tiers, users

__all__ = ["audit", "incidents", "quotas", "tenants", "third_party", "tiers", "users"]
