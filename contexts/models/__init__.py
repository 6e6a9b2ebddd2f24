"""What `contexts` keeps in the database."""

from contexts.models.audit import AuditChain, AuditEntry, AuditLink
from contexts.models.incidents import BreachKind, Detector, SecurityIncident
from contexts.models.records import ContextRecord
from contexts.models.tenants import Membership, Role, Tenant
from contexts.models.tickets import SocketTicket
from contexts.models.tiers import Resource, Tier, TierLimit, Window
from contexts.models.usage import QuotaUsage
from contexts.models.users import User

__all__ = [
    "AuditChain",
    "AuditEntry",
    "AuditLink",
    "BreachKind",
    "ContextRecord",
    "Detector",
    "Membership",
    "QuotaUsage",
    "Resource",
    "Role",
    "SecurityIncident",
    "SocketTicket",
    "Tenant",
    "Tier",
    "TierLimit",
    "User",
    "Window",
]
