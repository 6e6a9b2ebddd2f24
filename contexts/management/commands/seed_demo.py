"""Demo tenants and accounts, for a laptop."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from contexts.command_line import MigratedCommand
from contexts.models import Membership, Role, Tenant, Tier, User
from contexts.scope import system_scope

PASSWORD = "netra-demo"
TENANTS = {
    "acme": ("Acme", "enterprise", {"alice": Role.OWNER, "bob": Role.MEMBER}),
    "globex": ("Globex", "free", {"carol": Role.MEMBER}),
}
OPERATOR = "admin"


class Command(MigratedCommand):
    """`manage.py seed_demo`: adds what is missing and changes nothing that is there."""

    help = "Add the demo tenants acme and globex with alice, bob, carol, and the operator admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the switch for servers that are not in development mode."""
        parser.add_argument("--force", action="store_true", help="Add them although DEBUG is off.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Add the accounts, all or none.

        Raises:
            CommandError: when DEBUG is off and it is not forced.
        """
        if not settings.DEBUG and not options["force"]:
            raise CommandError("Demo accounts have a known password; with DEBUG off this needs --force.")
        with system_scope("seed the demo accounts", always_audited=False):
            for slug, (name, tier, members) in TENANTS.items():
                tenant, _ = Tenant.objects.get_or_create(
                    slug=slug, defaults={"name": name, "tier": Tier.objects.get(slug=tier)}
                )
                for username, role in members.items():
                    Membership.objects.get_or_create(
                        tenant=tenant, user=_account(username), defaults={"role": role}
                    )
            _account(OPERATOR, is_staff=True, is_superuser=True)


def _account(username: str, **flags: bool) -> User:
    user = User.objects.filter(username=username).first()
    if user is None:
        user = User.objects.create_user(username, f"{username}@example.com", PASSWORD, **flags)
    return user
