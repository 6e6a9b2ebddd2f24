from typing import Any

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from contexts.models import Tenant, Tier, User
from tests.contexts.admin.pages import filled_form
from tests.factories import Cast

LARGE = "openai:gpt-4o"
FIELDS = ("preferred_model", "preferred_language", "preferred_time_zone", "preferred_agents")
MODELS: list[type[Model]] = [Tier, Tenant, User]


@pytest.fixture(autouse=True)
def offered(settings: Settings) -> None:
    settings.NETRA_MODELS = [LARGE]


def _row(cast: Cast, model: type[Model]) -> Any:
    return {Tier: cast.acme.tier, Tenant: cast.acme, User: cast.alice}[model]


def _save(operator: Client, row: Any, **changes: str) -> Any:
    """Send the row's own form with `changes`, as the page would."""
    address = reverse(f"admin:contexts_{row._meta.model_name}_change", args=[row.pk])
    page = operator.get(address)
    assert page.status_code == 200
    sent = filled_form(page)
    sent.pop("password", None)
    return operator.post(address, sent | changes)


def _errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)


@pytest.mark.parametrize("model", MODELS)
def test_the_page_has_them_in_a_part_of_their_own(operator: Client, cast: Cast, model: type[Model]) -> None:
    row = _row(cast, model)
    address = reverse(f"admin:contexts_{row._meta.model_name}_change", args=[row.pk])
    page = operator.get(address)
    fieldsets = {fieldset.name: fieldset.fields for fieldset in page.context["adminform"]}
    assert tuple(fieldsets["Preferences"]) == FIELDS
    assert "Triage and reporting are always on." in page.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_an_operator_states_them_and_takes_them_back(
    operator: Client, cast: Cast, model: type[Model]
) -> None:
    row = _row(cast, model)
    stated = dict(zip(FIELDS, (LARGE, "pt-BR", "America/Sao_Paulo", "data,actions"), strict=True))
    assert _save(operator, row, **stated).status_code == 302
    row.refresh_from_db()
    assert [getattr(row, field) for field in FIELDS] == [
        LARGE,
        "pt-BR",
        "America/Sao_Paulo",
        ["data", "actions"],
    ]
    assert _save(operator, row, **dict.fromkeys(FIELDS, "")).status_code == 302
    row.refresh_from_db()
    assert [getattr(row, field) for field in FIELDS] == ["", "", "", None]


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("preferred_model", "openai:o1-pro", "offers the models offline, openai:gpt-4o"),
        ("preferred_language", "English", "BCP 47"),
        ("preferred_time_zone", "Berlin", "IANA"),
        ("preferred_agents", "data,janitor", "triage and reporting are always on"),
    ],
)
def test_a_bad_value_is_refused_beside_its_field(
    operator: Client, cast: Cast, model: type[Model], field: str, value: str, words: str
) -> None:
    row = _row(cast, model)
    errors = _errors(_save(operator, row, **{field: value}))
    assert set(errors) == {field}
    assert words in " ".join(errors[field])
    row.refresh_from_db()
    assert not getattr(row, field)


def test_an_account_is_deactivated_though_its_model_and_agent_are_gone(operator: Client, cast: Cast) -> None:
    User.objects.filter(id=cast.alice.id).update(preferred_model="openai:gone", preferred_agents=["janitor"])
    cast.alice.refresh_from_db()
    assert _save(operator, cast.alice, is_active="").status_code == 302
    cast.alice.refresh_from_db()
    assert not cast.alice.is_active
    assert (cast.alice.preferred_model, cast.alice.preferred_agents) == ("openai:gone", ["janitor"])
