"""What `contexts` keeps in the database."""

from contexts.models.adjustments import AppliesTo, QuotaGrant, QuotaOverride
from contexts.models.audit import AuditChain, AuditEntry, AuditLink
from contexts.models.incidents import BreachKind, Detector, SecurityIncident
from contexts.models.records import ContextRecord
from contexts.models.sign_ins import TokenFamily
from contexts.models.tenants import Membership, Role, Tenant
from contexts.models.tickets import SocketTicket
from contexts.models.tiers import Tier, TierLimit
from contexts.models.usage import EntryKind, QuotaEntry, QuotaReservation, QuotaUsage, TenantQuotaUsage
from contexts.models.users import User
from contexts.resources import Resource, Window

__all__ = [
    "AppliesTo",
    "AuditChain",
    "AuditEntry",
    "AuditLink",
    "BreachKind",
    "ContextRecord",
    "Detector",
    "EntryKind",
    "Membership",
    "QuotaEntry",
    "QuotaGrant",
    "QuotaOverride",
    "QuotaReservation",
    "QuotaUsage",
    "Resource",
    "Role",
    "SecurityIncident",
    "SocketTicket",
    "Tenant",
    "TenantQuotaUsage",
    "Tier",
    "TierLimit",
    "TokenFamily",
    "User",
    "Window",
]
