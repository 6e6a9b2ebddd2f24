"""What holds after tier, tenant and user, and what cannot be stated at all."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django.fixtures import Settings

from contexts import preferences
from contexts.preferences import (
    DEFAULT_PREFERENCES,
    Preferences,
    agent_names,
    register_agent_names,
    resolve_preferences,
    validate_agent_name,
    validate_allowed_model,
    validate_known_agent,
    validate_language,
    validate_model,
    validate_time_zone,
)

LOCAL, LARGE, OLD = "openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "openai:gpt-3.5-turbo"


@pytest.fixture(autouse=True)
def offered(settings: Settings) -> None:
    """Offer two models; everybody gets the first."""
    settings.NETRA_MODEL = LOCAL
    settings.NETRA_MODELS = [LARGE]


@pytest.fixture
def team() -> Iterator[None]:
    """Let there be a team of three, two of whom always work, and bring the real one back."""
    real = agent_names()
    register_agent_names(("first", "second", "last"), always_on=("first", "last"))
    yield
    register_agent_names(real.known, always_on=real.always_on)


def _stated(**stated: Any) -> Any:
    nothing = {"model": "", "language": "", "time_zone": "", "agents": None}
    return SimpleNamespace(**{f"preferred_{name}": value for name, value in {**nothing, **stated}.items()})


def test_without_a_statement_the_defaults_hold() -> None:
    resolved = resolve_preferences([_stated(), _stated(), _stated()])
    assert resolved == DEFAULT_PREFERENCES
    assert (resolved.chosen_model, resolved.language, resolved.time_zone) == (LOCAL, "", "UTC")
    assert resolved.agents is None


def test_the_last_one_stated_wins_field_by_field() -> None:
    resolved = resolve_preferences(
        [
            _stated(model=LARGE, language="de", time_zone="Europe/Berlin", agents=["data"]),
            _stated(language="fr", agents=["data", "actions"]),
            _stated(time_zone="Asia/Tokyo"),
        ]
    )
    assert resolved == Preferences(
        model=LARGE, language="fr", time_zone="Asia/Tokyo", agents=frozenset({"data", "actions"})
    )


def test_an_empty_list_of_agents_is_a_statement() -> None:
    assert resolve_preferences([_stated(agents=["data"]), _stated(agents=[])]).agents == frozenset()


def test_a_model_that_is_not_offered_counts_as_not_stated() -> None:
    resolved = resolve_preferences([_stated(), _stated(model=LARGE), _stated(model=OLD)])
    assert (resolved.model, resolved.chosen_model) == (LARGE, LARGE)
    assert resolve_preferences([_stated(model=OLD)]).chosen_model == LOCAL


def test_a_model_that_is_no_longer_offered_is_not_used(settings: Settings) -> None:
    chosen = Preferences(model=LARGE)
    assert chosen.chosen_model == LARGE
    settings.NETRA_MODELS = []
    assert chosen.chosen_model == LOCAL


def test_with_nothing_offered_besides_only_the_installations_and_the_free_model_are_allowed(
    settings: Settings,
) -> None:
    settings.NETRA_MODELS = []
    for allowed in (LOCAL, "offline"):
        validate_allowed_model(allowed)
        assert Preferences(model=allowed).chosen_model == allowed
    for refused in (LARGE, OLD, "", "Offline", f"{LOCAL} "):
        with pytest.raises(ValidationError, match=f"offers the models offline, {LOCAL}"):
            validate_allowed_model(refused)


def test_some_agents_are_always_on(team: None) -> None:
    on = Preferences(agents=frozenset())
    assert [name for name in agent_names().known if on.allows(name)] == ["first", "last"]
    assert Preferences(agents=frozenset({"second"})).allows("second")
    assert Preferences().allows("anything")


def test_an_unknown_agent_is_refused_with_the_choice(team: None) -> None:
    for name in ("first", "second", "last"):
        validate_known_agent(name)
    with pytest.raises(ValidationError, match="Choose from second; first and last are always on"):
        validate_known_agent("third")


def test_the_applications_agents_are_registered() -> None:
    names = preferences.agent_names()
    assert names.known == ("triage", "data", "optimization", "actions", "reporting")
    assert names.always_on == {"triage", "reporting"}


@pytest.mark.parametrize(
    "value", ["en", "de", "pt-BR", "zh-Hant-TW", "es-419", "sl-rozaj", "de-CH-1996", "fil"]
)
def test_a_language_tag_is_taken(value: str) -> None:
    validate_language(value)


@pytest.mark.parametrize(
    "value", ["", "e", "English", "en_US", "en-", "en US", "en-ignore all", "en-x", "12", "en\n", "en-US-GB"]
)
def test_what_is_no_language_tag_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="BCP 47"):
        validate_language(value)


@pytest.mark.parametrize("value", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
def test_a_time_zone_is_taken(value: str) -> None:
    validate_time_zone(value)
    assert Preferences(time_zone=value).zone.key == value


@pytest.mark.parametrize("value", ["", "Berlin", "europe/berlin", "+02:00", "../../etc/passwd", "UTC\0"])
def test_what_is_no_time_zone_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        validate_time_zone(value)


@pytest.mark.parametrize(
    ("validate", "value"),
    [
        (validate_model, ""),
        (validate_model, "two words"),
        (validate_model, "x" * 201),
        (validate_agent_name, ""),
        (validate_agent_name, "Data"),
        (validate_agent_name, "x" * 65),
    ],
)
def test_what_can_be_no_name_is_refused(validate: Any, value: str) -> None:
    with pytest.raises(ValidationError):
        validate(value)
