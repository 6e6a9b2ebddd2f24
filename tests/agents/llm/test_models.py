"""The choice of the model by setting."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from pydantic_ai import Agent
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIResponsesModel
from pytest_django.fixtures import Settings

from agents.catalog import CATALOG
from agents.llm.models import check_model_setting, is_metered, select_model
from agents.llm.offline import offline_model
from agents.state import DeepAgentState
from contexts.context import UserExecutionContext
from contexts.exceptions import UnavailableError
from contexts.identifiers import new_id
from contexts.preferences import OFFLINE_MODEL, Preferences


@pytest.fixture
def run_context() -> UserExecutionContext:
    return UserExecutionContext(
        user_id=new_id(), tenant_id=new_id(), role="owner", tier="free", operation="run"
    )


def test_the_offline_analyst_plays_every_agent_and_costs_nothing(
    settings: Settings, run_context: UserExecutionContext
) -> None:
    settings.NETRA_MODEL = "offline"
    check_model_setting()
    for specification in CATALOG:
        model = select_model(specification, run_context)
        assert isinstance(model, FunctionModel)
        assert (model.model_name, is_metered(model)) == ("offline", False)


def test_a_named_model_with_its_key_is_selected_and_metered(
    settings: Settings, run_context: UserExecutionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key")
    settings.NETRA_MODEL = "openai:gpt-4o-mini"
    check_model_setting()
    model = select_model(CATALOG[0], run_context)
    assert isinstance(model, OpenAIResponsesModel)
    assert (model.model_name, is_metered(model)) == ("gpt-4o-mini", True)


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gpt-4o", "it has to be 'offline' or PROVIDER:MODEL"),
        ("test", "it has to be 'offline' or PROVIDER:MODEL"),
        ("acme:model-1", "Unknown model: acme:model-1"),
        ("openai:gpt-4o", "needs the environment variable OPENAI_API_KEY"),
        ("anthropic:claude-haiku-4-5", "needs the environment variable ANTHROPIC_API_KEY"),
        ("groq:llama", r"needs the package pydantic-ai-slim\[groq\]"),
    ],
)
def test_a_model_that_cannot_be_used_is_named_with_what_is_missing(
    name: str,
    problem: str,
    key: str | None,
    settings: Settings,
    run_context: UserExecutionContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
        if key is not None:
            monkeypatch.setenv(variable, key)
    settings.NETRA_MODEL = name
    with pytest.raises(ImproperlyConfigured, match=problem):
        check_model_setting()
    with pytest.raises(UnavailableError, match=problem):
        select_model(CATALOG[0], run_context)


def test_there_is_no_offline_model_for_an_unknown_agent() -> None:
    with pytest.raises(KeyError):
        offline_model("janitor")


async def test_a_request_without_streaming_gives_the_same_triage() -> None:
    agent = Agent(offline_model("triage"), output_type=CATALOG[0].output_type)
    state = DeepAgentState(question="hello")
    result = await agent.run(state.model_dump_json())
    assert result.output.category == "small_talk"


async def test_a_prompt_that_is_no_state_is_refused() -> None:
    agent = Agent(offline_model("triage"), output_type=CATALOG[0].output_type)
    with pytest.raises(ValueError, match="Invalid JSON"):
        await agent.run("hello")


def _preferring(model: str) -> UserExecutionContext:
    return UserExecutionContext(
        user_id=new_id(),
        tenant_id=new_id(),
        role="owner",
        tier="free",
        operation="run",
        preferences=Preferences(model=model),
    )


def test_a_preferred_model_is_selected_when_it_is_offered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key")
    settings.NETRA_MODELS = ["openai:gpt-4o"]
    for specification in CATALOG:
        assert select_model(specification, _preferring("openai:gpt-4o")).model_name == "gpt-4o"


@pytest.mark.mission_critical("P9")
@pytest.mark.parametrize("stated", ["openai:o1-pro", "anthropic:claude-opus-4-1", "nonsense", ""])
def test_a_preferred_model_that_is_not_offered_gives_way_to_the_installations(
    settings: Settings, stated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(variable, "sk-test-not-a-key")
    settings.NETRA_MODEL, settings.NETRA_MODELS = "openai:gpt-4o-mini", ["openai:gpt-4o"]
    assert select_model(CATALOG[0], _preferring(stated)).model_name == "gpt-4o-mini"


def test_the_free_model_may_always_be_preferred(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-not-a-key")
    settings.NETRA_MODEL, settings.NETRA_MODELS = "openai:gpt-4o-mini", []
    assert offline_model("triage").model_name == OFFLINE_MODEL
    assert not is_metered(select_model(CATALOG[0], _preferring(OFFLINE_MODEL)))


def test_a_model_offered_without_its_key_stops_the_start_and_is_unavailable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    settings.NETRA_MODELS = ["offline", "openai:gpt-4o"]
    with pytest.raises(ImproperlyConfigured, match="NETRA_MODELS names 'openai:gpt-4o', which needs the env"):
        check_model_setting()
    with pytest.raises(UnavailableError, match="NETRA_MODELS names 'openai:gpt-4o', which needs the env"):
        select_model(CATALOG[0], _preferring("openai:gpt-4o"))
