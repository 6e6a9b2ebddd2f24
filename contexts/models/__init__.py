"""What `contexts` keeps in the database."""

from contexts.models.audit import AuditEntry
from contexts.models.records import ContextRecord
from contexts.models.tenants import Membership, Role, Tenant
from contexts.models.tickets import SocketTicket
from contexts.models.tiers import Resource, Tier, TierLimit, Window
from contexts.models.usage import QuotaUsage
from contexts.models.users import User

__all__ = [
    "AuditEntry",
    "ContextRecord",
    "Membership",
    "QuotaUsage",
    "Resource",
    "Role",
    "SocketTicket",
    "Tenant",
    "Tier",
    "TierLimit",
    "User",
    "Window",
]
