"""Detection of what one user's context must not share with another's."""

from contexts.isolation.breaches import Breach
from contexts.isolation.outgoing import OutgoingGuard
from contexts.isolation.ownership import OwnershipRegistry
from contexts.isolation.reach import size_of
from contexts.isolation.reachability import SharedObject, SharedObjects, find_shared
from contexts.isolation.sharing import declare_shared

__all__ = [
    "Breach",
    "OutgoingGuard",
    "OwnershipRegistry",
    "SharedObject",
    "SharedObjects",
    "declare_shared",
    "find_shared",
    "size_of",
]

# Every context's state leads to these.
declare_shared(OwnershipRegistry)
declare_shared(OutgoingGuard)
