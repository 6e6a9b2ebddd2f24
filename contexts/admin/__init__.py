"""The operators' pages of tenants, tiers, quotas and audit."""

from contexts.admin import audit, quotas, tenants, third_party, tiers, users

__all__ = ["audit", "quotas", "tenants", "third_party", "tiers", "users"]
