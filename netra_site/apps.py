"""The application that puts the others together."""

from django.apps import AppConfig


class NetraSiteConfig(AppConfig):
    """Settings, addresses, the server command and the pages' shell."""

    name = "netra_site"
    verbose_name = "Netra"
