"""What the context manager and the quotas report back."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A context that reaches a shared object, and how."""

    context_id: UUID
    user_id: UUID
    tenant_id: UUID
    path: str
    """From the context to the object, such as `state['rows'][3]`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedFinding:
    """A mutable object that contexts of two users reach, or one user's context that another's reaches."""

    kind: str
    """`shared_object` or `foreign_object`."""
    type_name: str
    """The object's type; never its content."""
    holders: tuple[Holder, ...]
    """Who reaches it; at least two users."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContaminationReport:
    """Mutable objects that are reachable from contexts of two users."""

    checked: int
    """How many contexts were looked at."""
    shared: tuple[SharedFinding, ...] = ()
    """What was found."""
    truncated: tuple[UUID, ...] = ()
    """Contexts that reach so much that only a part was looked at."""

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was found."""
        return not self.shared


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityReport:
    """Whether the live contexts keep their bounds."""

    checked: int
    """How many contexts were looked at."""
    expired: tuple[UUID, ...] = ()
    """Root contexts still open past their time to live."""
    orphaned: tuple[UUID, ...] = ()
    """Children whose parent is closed."""
    quarantined: tuple[UUID, ...] = ()
    """Contexts that were stopped after a breach and are still open."""
    over_limit: tuple[UUID, ...] = ()
    """Contexts that keep more in their state than one context may."""
    contamination: ContaminationReport | None = None
    """What contexts of two users share; none when detection is switched off."""

    @property
    def is_secure(self) -> bool:
        """Tell whether nothing was found."""
        is_clean = self.contamination is None or self.contamination.is_clean
        return is_clean and not (self.expired or self.orphaned or self.quarantined or self.over_limit)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaResult:
    """Where one user stands with one resource."""

    resource: str
    """The resource's name."""
    window: str
    """Over which time, or per what, it counts."""
    limit: Decimal
    """How much there is, in the resource's unit."""
    used: Decimal = field(default=Decimal(0))
    """How much is gone."""
    reserved: Decimal = field(default=Decimal(0))
    """How much work under way has set aside."""
    resets_at: datetime | None = None
    """When the window ends (UTC); none for what has no window."""
    soft_limit: Decimal = field(default=Decimal(0))
    """From here on a warning is shown."""
    left_for_all: Decimal | None = None
    """What all members of the tenant together may still use; none when nothing is stated."""
    allowed: bool = True
    """Whether what was asked for could be set aside."""

    @property
    def remaining(self) -> Decimal:
        """Return what may still be used."""
        mine = self.limit - self.used - self.reserved
        return max(Decimal(0), mine if self.left_for_all is None else min(mine, self.left_for_all))

    @property
    def is_past_soft_limit(self) -> bool:
        """Tell whether so much is used or reserved that a warning is due."""
        return self.used + self.reserved >= self.soft_limit > 0
