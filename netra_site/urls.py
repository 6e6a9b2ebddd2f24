"""The addresses of the site."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from contexts.api.base import UnknownAddressView
from netra_site.health import healthz, readyz
from netra_site.metrics import metrics

# The description of the interface is no secret, and reading it needs no sign-in to go wrong.
PUBLIC = {"authentication_classes": (), "permission_classes": (AllowAny,)}

urlpatterns = [
    path("favicon.ico", RedirectView.as_view(url=static("netra_site/icon.svg"))),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/v1/", include("contexts.api.urls")),
    path("api/v1/", include("agents.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(**PUBLIC), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(**PUBLIC), name="docs"),
    # Line breaks, too.
    re_path(r"^api(/[\s\S]*)?$", UnknownAddressView.as_view()),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("", include("realtime.urls")),
]
