from typing import Any

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from contexts.factory import UserContextFactory, managed_user_context
from contexts.models import AuditEntry
from contexts.preferences import Preferences
from tests.clients import assert_problem, client_of
from tests.factories import Cast

ADDRESS = "/api/v1/me/preferences"
LARGE = "openai:gpt-4o"
NOTHING = {"model": None, "language": None, "time_zone": None, "agents": None}
DEFAULTS = {
    "model": "offline",
    "language": None,
    "time_zone": "UTC",
    "agents": ["triage", "data", "optimization", "actions", "reporting"],
}


@pytest.fixture(autouse=True)
def offered(settings: Settings) -> None:
    settings.NETRA_MODELS = [LARGE]


def _patch(client: APIClient, **changes: Any) -> Any:
    return client.patch(ADDRESS, changes, format="json")


def _entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="preferences_changed"))


def test_a_user_who_states_nothing_gets_the_defaults(cast: Cast) -> None:
    response = client_of(cast.alice).get(ADDRESS)
    assert response.status_code == 200
    assert response.json() == {"stated": NOTHING, "effective": DEFAULTS}


def test_the_tenants_hold_where_the_user_states_nothing(cast: Cast) -> None:
    cast.acme.preferred_language = "de"
    cast.acme.preferred_time_zone = "Europe/Berlin"
    cast.acme.save()
    cast.acme.tier.preferred_agents = ["data"]
    cast.acme.tier.save()
    response = _patch(client_of(cast.alice), language="fr")
    assert response.status_code == 200
    assert response.json() == {
        "stated": {**NOTHING, "language": "fr"},
        "effective": {
            "model": "offline",
            "language": "fr",
            "time_zone": "Europe/Berlin",
            "agents": ["triage", "data", "reporting"],
        },
    }
    assert client_of(cast.bob).get(ADDRESS).json()["effective"]["language"] == "de"
    assert client_of(cast.carol).get(ADDRESS).json()["effective"] == DEFAULTS


def test_what_is_stated_is_kept_and_holds_for_the_next_context(cast: Cast) -> None:
    client = client_of(cast.alice)
    changes = {
        "model": LARGE,
        "language": "pt-BR",
        "time_zone": "America/Sao_Paulo",
        "agents": ["optimization", "data", "data"],
    }
    answer = _patch(client, **changes).json()
    assert answer["stated"] == {**changes, "agents": ["optimization", "data"]}
    assert answer["effective"] == {**changes, "agents": ["triage", "data", "optimization", "reporting"]}
    assert client.get(ADDRESS).json() == answer
    with managed_user_context(UserContextFactory().for_request(cast.alice.id)) as context:
        assert context.preferences == Preferences(
            model=LARGE,
            language="pt-BR",
            time_zone="America/Sao_Paulo",
            agents=frozenset({"data", "optimization"}),
        )


def test_a_change_leaves_the_other_fields_alone(cast: Cast) -> None:
    client = client_of(cast.alice)
    _patch(client, language="de", model="offline")
    assert _patch(client, time_zone="Europe/Berlin").json()["stated"] == {
        "model": "offline",
        "language": "de",
        "time_zone": "Europe/Berlin",
        "agents": None,
    }


@pytest.mark.parametrize("blank", [None, ""])
def test_null_and_blank_take_a_statement_back(cast: Cast, blank: str | None) -> None:
    client = client_of(cast.alice)
    _patch(client, model=LARGE, language="de", time_zone="Europe/Berlin", agents=["data"])
    cleared = {"model": blank, "language": blank, "time_zone": blank, "agents": [] if blank == "" else None}
    assert _patch(client, **cleared).json() == {"stated": NOTHING, "effective": DEFAULTS}
    cast.alice.refresh_from_db()
    assert cast.alice.preferred_agents is None


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model", "openai:o1-pro", "offers the models offline, openai:gpt-4o"),
        ("model", 7, "valid string"),
        ("model", "x" * 300, "200"),
        ("language", "Klingon please", "BCP 47"),
        ("language", ["en"], "valid string"),
        ("time_zone", "Mars/Olympus", "IANA"),
        ("time_zone", "Europe/Berlin\0", "Null characters"),
        ("agents", ["data", "janitor"], "triage and reporting are always on"),
        ("agents", "data", "list"),
        ("agents", [None], "null"),
        ("agents", ["data"] * 33, "32"),
        ("colour", "red", "Unknown field"),
        ("preferred_model", LARGE, "Unknown field"),
    ],
)
def test_a_bad_value_is_refused_by_its_field_and_changes_nothing(
    cast: Cast, field: str, value: Any, words: str
) -> None:
    client = client_of(cast.alice)
    response = _patch(client, **{"language": "de", field: value})
    problem = assert_problem(response, 400, "invalid_request")
    assert set(problem["errors"]) == {field}
    assert words in problem["detail"]
    assert client.get(ADDRESS).json()["stated"] == NOTHING
    assert not _entries()


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize("body", [b"{", b"[]", b'"en"', b"null"])
def test_a_body_that_is_no_object_is_refused(cast: Cast, body: bytes) -> None:
    response = client_of(cast.alice).generic("PATCH", ADDRESS, body, content_type="application/json")
    assert_problem(response, 400, "invalid_request")


def test_a_model_is_refused_when_the_installation_offers_no_choice(cast: Cast, settings: Settings) -> None:
    settings.NETRA_MODELS = []
    assert_problem(_patch(client_of(cast.alice), model=LARGE), 400, "invalid_request")
    assert _patch(client_of(cast.alice), model="offline").status_code == 200


def test_a_model_that_is_no_longer_offered_is_shown_but_does_not_hold(cast: Cast, settings: Settings) -> None:
    client = client_of(cast.alice)
    _patch(client, model=LARGE)
    settings.NETRA_MODELS = []
    answer = client.get(ADDRESS).json()
    assert (answer["stated"]["model"], answer["effective"]["model"]) == (LARGE, "offline")


def test_a_change_is_audited_by_the_names_of_its_fields(cast: Cast) -> None:
    client = client_of(cast.alice)
    _patch(client, language="de", time_zone="Europe/Berlin")
    (entry,) = _entries()
    assert (entry.tenant_id, entry.user_id) == (cast.acme.id, cast.alice.id)
    assert entry.details == {"fields": ["language", "time_zone"]}
    _patch(client, language="de", agents=None)
    _patch(client)
    assert len(_entries()) == 1


def test_nobody_changes_or_reads_anothers(cast: Cast) -> None:
    _patch(client_of(cast.alice), language="de")
    for other in (cast.bob, cast.carol):
        assert client_of(other).get(ADDRESS).json()["stated"] == NOTHING
        _patch(client_of(other), language="fr")
    assert client_of(cast.alice).get(ADDRESS).json()["stated"]["language"] == "de"


def test_preferences_are_for_those_who_are_signed_in(db: None) -> None:
    assert_problem(APIClient().get(ADDRESS), 401, "not_authenticated")
    assert_problem(_patch(APIClient(), language="de"), 401, "not_authenticated")
