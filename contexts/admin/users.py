"""People who sign in."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from contexts.admin.audited import AuditedMixin
from contexts.admin.preferences import PREFERENCES, PreferencesForm
from contexts.admin.scoping import TenantScopedAdmin
from contexts.models import User


class UserForm(PreferencesForm, UserChangeForm):
    """An account as operators change it."""


@admin.register(User)
class UserAdmin(AuditedMixin, DjangoUserAdmin, TenantScopedAdmin):
    """Accounts; what one may use follows from the membership."""

    tenant_path = "memberships__tenant"
    # What one may do, and nothing personal.
    audited_fields = ("username", "is_active", "is_staff", "is_superuser", "groups", "user_permissions")
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), PREFERENCES)
    form = UserForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email", "first_name", "last_name")
