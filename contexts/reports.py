"""What the context manager and the quotas report back."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class SecurityReport:
    """Whether the live contexts keep their bounds."""

    checked: int
    """How many contexts were looked at."""
    expired: tuple[UUID, ...] = ()
    """Contexts still open past their time to live."""
    orphaned: tuple[UUID, ...] = ()
    """Children whose parent is closed."""

    @property
    def is_secure(self) -> bool:
        """Tell whether nothing was found."""
        return not (self.expired or self.orphaned)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContaminationReport:
    """Mutable objects that contexts of two users both hold."""

    checked: int
    """How many contexts were looked at."""
    shared: tuple[tuple[UUID, UUID, str], ...] = ()
    """The two contexts and the name under which the first holds the object."""

    @property
    def is_clean(self) -> bool:
        """Tell whether nothing was found."""
        return not self.shared


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

    @property
    def remaining(self) -> Decimal:
        """Return what may still be used."""
        return max(Decimal(0), self.limit - self.used - self.reserved)
