"""Holders: each knows one kind of what is kept of a person, and how it is exported and erased."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import CompositePrimaryKey, Model, QuerySet

from contexts.audit import record_system_audit
from contexts.scope import system_scope

BATCH = 1_000
"""How many rows one transaction of an erasure deletes."""
ERASED_ACTION = "personal_data_erased"
"""The action of the audit's entries that say what each transaction of an erasure deleted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The person whose data it is."""

    user_id: UUID
    names: tuple[str, ...]
    """User name, e-mail addresses and full name: what free texts may call them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasureOptions:
    """What whoever asks for an erasure decides."""

    with_datasets: bool = False
    """Whether files that they gave to a tenant with other members go too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A file that belongs to what is exported."""

    name: str
    """Its path in the archive."""
    read: Callable[[], Iterable[bytes]]
    """Returns its content in pieces; raises `FileNotFoundError` at once when it is not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What an erasure leaves, and why."""

    what: str
    count: int
    why: str


@dataclass(kw_only=True, slots=True)
class Erased:
    """What one transaction of an erasure deleted."""

    rows: dict[str, int] = field(default_factory=dict)
    """By table."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 (hex) by path."""

    def add_deleted(self, by_model: Mapping[str, int]) -> None:
        """Add what Django's `delete` says was deleted."""
        for label, count in by_model.items():
            table = apps.get_model(label)._meta.db_table
            self.rows[table] = self.rows.get(table, 0) + count


@contextmanager
def erasing(subject: Subject, kind: str) -> Iterator[Erased]:
    """Yield what is to be filled with what is deleted within: one transaction, in a system scope.

    It is audited, with the commit; the receipt is put together from that, also after a crash.
    """
    with system_scope(f"erase a person's data: {kind}", always_audited=False):
        erased = Erased()
        yield erased
        if erased.rows or erased.files:
            # Pairs: a table's name may look like that of a secret.
            record_system_audit(
                ERASED_ACTION,
                user_id=subject.user_id,
                kind=kind,
                rows=list(erased.rows.items()),
                files=list(erased.files.items()),
            )


class Holder:
    """One kind of what is kept of a person. Subclasses say more; this one holds nothing.

    Methods that read are called within a system scope; `stop` and `erase` open their own.
    """

    kind: str
    """Names its file in an export; unique."""
    answers_for: frozenset[str] = frozenset()
    """The foreign keys to accounts that it takes care of, as `app.Model.field`."""
    must_be_empty = True
    """Whether an erasure is over only when `count` finds nothing more."""

    def records(self, subject: Subject) -> Iterator[Mapping[str, Any]]:
        """Yield what an export says, a mapping a line; no secrets."""
        return iter(())

    def attachments(self, subject: Subject) -> Iterator[Attachment]:
        """Yield the files that an export has beside the records."""
        return iter(())

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Return how much `erase` would delete or change, by table."""
        return {}

    def stop(self, subject: Subject) -> None:
        """End what is under way, so that nothing more is written."""

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Delete it, each batch in a transaction of `erasing`; called again it goes on."""

    def look_over(self, subject: Subject) -> Mapping[str, Any]:
        """Return what a look at other places than the database finds at the end of an erasure."""
        return {}

    def kept(self, subject: Subject) -> Iterator[Kept]:
        """Yield what stays after an erasure."""
        return iter(())


class TableHolder(Holder):
    """The rows of one table that are a person's, exported and deleted as they are."""

    def __init__(
        self,
        kind: str,
        model: type[Model],
        *,
        find: Callable[[Subject], QuerySet[Any]] | None = None,
        keys: Iterable[str] = ("user",),
        hidden: Iterable[str] = (),
        is_exported: bool = True,
        why_kept: str = "",
    ) -> None:
        """Hold the rows that `find` finds, those of the person's `user` unless it is given.

        `keys` are the model's foreign keys to accounts, `hidden` the fields that an export leaves out.
        With `why_kept` an erasure leaves the rows.
        """
        self.kind = kind
        self.answers_for = frozenset(f"{model._meta.label}.{key}" for key in keys)
        self.model = model
        self._find = find or (lambda subject: model._default_manager.filter(user_id=subject.user_id))
        self._hidden = frozenset(hidden)
        self._is_exported = is_exported
        self._why_kept = why_kept

    def rows(self, subject: Subject) -> QuerySet[Any]:
        """Return the person's rows."""
        return self._find(subject)

    def records(self, subject: Subject) -> Iterator[Mapping[str, Any]]:
        """Yield the rows' columns."""
        if self._is_exported:
            fields = [
                field.attname
                for field in self.model._meta.concrete_fields
                if not isinstance(field, CompositePrimaryKey) and field.attname not in self._hidden
            ]
            yield from self.rows(subject).order_by("pk").values(*fields).iterator(chunk_size=500)

    def count(self, subject: Subject, options: ErasureOptions) -> Mapping[str, int]:
        """Return how many rows there are to delete."""
        return {} if self._why_kept else {self.model._meta.db_table: self.rows(subject).count()}

    def erase(self, subject: Subject, options: ErasureOptions) -> None:
        """Delete the rows, with what hangs on them."""
        is_left = not self._why_kept
        while is_left:
            with erasing(subject, self.kind) as erased:
                keys = list(self.rows(subject).order_by().values_list("pk", flat=True)[:BATCH])
                _, by_model = self.model._default_manager.filter(pk__in=keys).delete()
                erased.add_deleted(by_model)
            is_left = len(keys) == BATCH

    def kept(self, subject: Subject) -> Iterator[Kept]:
        """Yield how many rows are left, if they are to be."""
        if self._why_kept:
            table = self.model._meta.db_table
            yield Kept(what=table, count=self.rows(subject).count(), why=self._why_kept)
