"""Operators' pages as a browser sends them back."""

from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from contexts.models import QuotaUsage, User
from contexts.quotas import use_quota
from tests.factories import make_user


def address(model: type[Model], page: str, *arguments: Any) -> str:
    """Return the address of a model's page."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def signed_in(user: User) -> Client:
    """Return the session of a user."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def make_operator(username: str = "operator") -> User:
    """Make a superuser."""
    return make_user(username, is_staff=True, is_superuser=True)


def make_staff(username: str, role: str, **fields: Any) -> User:
    """Make staff in one of the groups, of no tenant unless one is given."""
    user = make_user(username, is_staff=True, **fields)
    user.groups.add(Group.objects.get(name=role))
    return user


def filled_form(page: Any) -> dict[str, Any]:
    """Return what a browser would send of a change page that nobody has touched."""
    form = page.context["adminform"].form
    forms = [form] if form.fields else []
    sent: dict[str, Any] = {}
    for inline in page.context["inline_admin_formsets"]:
        formset = inline.formset
        management = formset.management_form
        sent |= {management.add_prefix(name): management.initial[name] for name in management.initial}
        forms += formset.initial_forms
    for one in forms:
        for name in one.fields:
            value = one[name].value()
            key = one.add_prefix(name)
            match value:
                case bool():
                    sent |= {key: "on"} if value else {}
                case datetime() if hasattr(one.fields[name], "fields"):
                    sent |= {f"{key}_0": f"{value:%Y-%m-%d}", f"{key}_1": f"{value:%H:%M:%S}"}
                case list():
                    sent[key] = [str(getattr(item, "pk", item)) for item in value]
                case _:
                    sent[key] = "" if value is None else str(value)
    return sent


def add_row(sent: dict[str, Any], prefix: str, **values: Any) -> dict[str, Any]:
    """Return what is sent with one more row in the inline with that prefix."""
    number = int(sent[f"{prefix}-TOTAL_FORMS"])
    row = {f"{prefix}-{number}-{name}": str(value) for name, value in values.items()}
    return {**sent, **row, f"{prefix}-TOTAL_FORMS": number + 1}


def problems(page: Any) -> str:
    """Return what a page that was sent back says is wrong, as a text."""
    if page.context is None or "adminform" not in page.context:
        return ""
    found = [str(page.context["adminform"].form.errors)]
    for inline in page.context["inline_admin_formsets"]:
        found += [str(inline.formset.errors), str(inline.formset.non_form_errors())]
    return "\n".join(found)


class Member:
    """A member as whose quota something is used."""

    def __init__(self, user: User, tenant: Any) -> None:
        self.user_id, self.tenant_id = user.id, tenant.id

    def use(self, **amounts: Any) -> None:
        """Use amounts by resource at once."""
        use_quota(self, amounts)

    def used(self, resource: str) -> Any:
        """Return what the counters of the resource say is used."""
        return sum(
            QuotaUsage.objects.filter(
                user_id=self.user_id, tenant_id=self.tenant_id, resource=resource
            ).values_list("used", flat=True)
        )
