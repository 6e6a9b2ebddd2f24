"""The page that asks for a reason before a member's counter is reset."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from contexts.admin.amounts import NAMES, readable, readable_limit
from contexts.admin.scoping import may_write
from contexts.exceptions import ConflictError
from contexts.models import QuotaUsage, Resource, Tenant, User
from contexts.operators import RESETTABLE, reset_quota
from contexts.quota_statements import Reservation
from contexts.quotas import limit_of
from contexts.resources import RULES
from contexts.staff_roles import RESET_QUOTAS
from contexts.windows import window_start


class ResetForm(forms.Form):
    """Why a counter is reset; `began_at` says which window was shown."""

    began_at = forms.DateTimeField(widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="For the audit; the tenant's owner reads it.",
    )


def reset_page(
    request: HttpRequest, *, model_admin: ModelAdmin, tenant_id: UUID, user_id: UUID, resource: str
) -> HttpResponseBase:
    """Show what would be reset and ask for a reason; with one, reset it.

    Raises:
        Http404: when the staff may not see the tenant, or there is nothing of the kind.
        PermissionDenied: when they may not reset.
    """
    tenant = model_admin.get_queryset(request).filter(pk=tenant_id).first()
    if tenant is None or resource not in RESETTABLE:
        raise Http404
    if not (may_write(request, RESET_QUOTAS) and model_admin.has_view_permission(request, tenant)):
        raise PermissionDenied
    now = timezone.now()
    began_at = window_start(RULES[resource].window, now=now)
    usage = (
        QuotaUsage.objects.select_related("user")
        .filter(tenant=tenant, user_id=user_id, resource=resource, window_start=began_at)
        .first()
    )
    if usage is None:
        raise Http404
    form = ResetForm(request.POST or None, initial={"began_at": began_at.isoformat()})
    back = reverse("admin:contexts_tenant_change", args=[tenant.pk])
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)
        try:
            used = reset_quota(
                actor=request.user,
                tenant_id=tenant.pk,
                user_id=user_id,
                resource=resource,
                now=now,
                **form.cleaned_data,
            )
        except ConflictError as error:
            messages.error(request, error.message)
        else:
            name = NAMES[Resource(resource)]
            messages.success(request, f"{name} of {usage.user}: {readable(resource, used)} reset.")
        return HttpResponseRedirect(back)
    return TemplateResponse(
        request,
        "admin/contexts/tenant/reset.html",
        model_admin.admin_site.each_context(request) | _shown(tenant, usage) | {"form": form, "back": back},
    )


def _shown(tenant: Tenant, usage: QuotaUsage) -> dict[str, Any]:
    resource = usage.resource
    owner = Reservation(id=tenant.pk, tenant_id=tenant.pk, user_id=usage.user_id)
    return {
        "title": f"Reset {NAMES[Resource(resource)].lower()} of {usage.user}",
        "opts": Tenant._meta,
        "tenant": tenant,
        "member": usage.user,
        "name": NAMES[Resource(resource)],
        "used": readable(resource, usage.used),
        "reserved": readable(resource, usage.reserved) if usage.reserved else "",
        "limit": readable_limit(resource, limit_of(owner, resource)),
    }
