"""The addresses of sign-in, preferences, quotas and audit."""

from django.urls import path

from contexts.api.audit import AuditView
from contexts.api.auth import LogoutView, RefreshView, TicketView, TokenView
from contexts.api.me import MeView
from contexts.api.preferences import PreferencesView
from contexts.api.quotas import QuotasView

urlpatterns = [
    path("auth/token", TokenView.as_view()),
    path("auth/token/refresh", RefreshView.as_view()),
    path("auth/logout", LogoutView.as_view()),
    path("auth/ticket", TicketView.as_view()),
    path("me", MeView.as_view()),
    path("me/preferences", PreferencesView.as_view()),
    path("quotas", QuotasView.as_view()),
    path("audit", AuditView.as_view()),
]
