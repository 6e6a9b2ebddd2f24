"""Every change that staff make on a page is in the audit, with what was there before."""

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.forms import BaseModelFormSet
from django.http import HttpRequest

from contexts.models import User
from contexts.operators import Values, record_staff_change, values_of


class AuditedMixin:
    """Appends what is added, changed and deleted on a page and in its inlines, in the same transaction.

    `audited_fields` names the page's own fields that are kept, all columns unless it says otherwise.
    """

    audited_fields: ClassVar[tuple[str, ...] | None] = None
    model: Any

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the row, and keep what was there until all of it is saved."""
        stored = self.model._base_manager.select_for_update().get(pk=obj.pk) if change else None
        form.before = self._values(stored) if stored else None
        super().save_model(request, obj, form, change)  # type: ignore[misc]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what belongs to the row, and audit the row as it is then."""
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        after = self._values(self.model._base_manager.get(pk=form.instance.pk))
        record_staff_change(_actor(request), form.instance, before=form.before, after=after)

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        """Save an inline's rows, and audit each."""
        touched = [row.instance.pk for row in formset.initial_forms if row.has_changed()]
        touched += [row.instance.pk for row in formset.deleted_forms]
        rows: Any = formset.model._base_manager  # type: ignore[union-attr]
        stored = rows.select_for_update(of=("self",)).filter(pk__in=touched)
        before = {row.pk: values_of(row) for row in stored}
        gone = {row.pk: row for row in stored}
        super().save_formset(request, form, formset, change)  # type: ignore[misc]
        actor = _actor(request)
        for row in formset.new_objects:
            record_staff_change(actor, row, before=None, after=_reread(row))
        for row, _ in formset.changed_objects:
            record_staff_change(actor, row, before=before[row.pk], after=_reread(row))
        for pk in gone.keys() - rows.filter(pk__in=gone).values_list("pk", flat=True):
            record_staff_change(actor, gone[pk], before=before[pk], after=None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Audit the row, and delete it."""
        record_staff_change(_actor(request), obj, before=self._values(obj), after=None)
        super().delete_model(request, obj)  # type: ignore[misc]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Audit each row, and delete them."""
        for row in queryset:
            record_staff_change(_actor(request), row, before=self._values(row), after=None)
        super().delete_queryset(request, queryset)  # type: ignore[misc]

    def _values(self, row: Model) -> Values:
        return values_of(row, self.audited_fields)


def _reread(row: Model) -> Values:
    # The database's defaults are not known to what was just saved.
    return values_of(type(row)._base_manager.get(pk=row.pk))


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
