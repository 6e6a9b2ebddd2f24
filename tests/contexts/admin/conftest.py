import pytest
from django.apps import apps
from django.test import Client

from contexts.models import User
from contexts.staff_roles import give_roles
from tests.contexts.admin.pages import make_operator, make_staff, signed_in
from tests.factories import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def operator(cast: Cast) -> Client:
    return signed_in(make_operator())


@pytest.fixture
def roles(cast: Cast) -> None:
    """Have the groups there, whatever emptied the tables before."""
    for label in ("contexts", "agents"):
        give_roles(apps.get_app_config(label), "default")


@pytest.fixture
def support(roles: None) -> Client:
    return signed_in(make_staff("sam", "Support"))


@pytest.fixture
def manager(roles: None) -> Client:
    return signed_in(make_staff("mona", "Quota manager"))


@pytest.fixture
def mona(manager: Client) -> User:
    return User.objects.get(username="mona")
