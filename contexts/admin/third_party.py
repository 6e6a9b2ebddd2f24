"""Pages that packages bring: those with secrets are taken away, the rest is for superusers."""

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.admin import ModelAdmin

from contexts.admin.audited import AuditedMixin
from contexts.admin.scoping import SuperuserOnlyMixin

# The first two show refresh tokens, the third e-mail addresses of every tenant.
for model in (OutstandingToken, BlacklistedToken, EmailAddress, Group):
    admin.site.unregister(model)


@admin.register(Group)
class GroupAdmin(AuditedMixin, SuperuserOnlyMixin, DjangoGroupAdmin, ModelAdmin):
    """Groups of permissions."""

    audited_fields = ("name", "permissions")
