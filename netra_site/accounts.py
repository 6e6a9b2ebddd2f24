"""How people get accounts: from their tenant, not by signing up."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Close the public sign-up; sign-in, sign-out and password changes stay allauth's."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Refuse: members are added by their tenant or an operator."""
        return False
