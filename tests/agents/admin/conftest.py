import pytest
from django.apps import apps
from django.test import Client

from contexts.models import User
from contexts.staff_roles import give_roles
from tests.agents.running import leave_nothing
from tests.contexts.admin.pages import make_operator, make_staff, signed_in
from tests.factories import Cast, make_cast


@pytest.fixture
def cast(transactional_db: None):
    """Have the usual cast; what operators do is done after their page's own transaction."""
    yield make_cast()
    leave_nothing()


@pytest.fixture
def olga(cast: Cast) -> User:
    return make_operator("olga")


@pytest.fixture
def operator(olga: User) -> Client:
    return signed_in(olga)


@pytest.fixture
def sam(cast: Cast) -> User:
    for label in ("contexts", "agents", "procrastinate"):
        give_roles(apps.get_app_config(label), "default")
    return make_staff("sam", "Support")


@pytest.fixture
def support(sam: User) -> Client:
    return signed_in(sam)
