"""Which holders there are: each package registers what it keeps of people, in its `AppConfig.ready()`."""

from django.apps import apps

from contexts.models import User
from contexts.personal_data.holders import Holder

_holders: dict[str, Holder] = {}


def register_holder(*holders: Holder) -> None:
    """Have what these hold exported with a person's data, and erased.

    What others' rows hang on is registered before them: an erasure takes the holders in reverse order.

    Raises:
        ValueError: when a holder of that kind is there already.
    """
    for holder in holders:
        if holder.kind in _holders:
            raise ValueError(f"There is a holder of {holder.kind} already.")
        _holders[holder.kind] = holder


def unregister_holder(kind: str) -> None:
    """Forget a holder, if there is one."""
    _holders.pop(kind, None)


def registered_holders() -> tuple[Holder, ...]:
    """Return the holders in the order of their registration."""
    return tuple(_holders.values())


def unanswered_keys() -> list[str]:
    """Return the foreign keys to accounts that no holder answers for, as `app.Model.field`."""
    answered = frozenset[str]().union(*(holder.answers_for for holder in _holders.values()))
    keys = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model is User
    }
    return sorted(keys - answered)
