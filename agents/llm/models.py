"""The choice of the model that drives an agent."""

import logging
import os
import re
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from agents.catalog import CATALOG, AgentSpecification
from agents.llm.offline import MODEL_NAME as OFFLINE
from agents.llm.offline import offline_model
from contexts.context import UserExecutionContext
from contexts.exceptions import UnavailableError
from contexts.preferences import allowed_models

logger = logging.getLogger(__name__)

_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
_EXTRA = re.compile(r"pydantic-ai-slim\[([a-z0-9-]+)\]")


_registered: dict[str, Callable[[str], Model]] = {}


def register_model(name: str, make: Callable[[str], Model]) -> None:
    """Let the settings name a model of one's own, which `make` makes for the agent of a name.

    For `AppConfig.ready()`.

    Raises:
        ValueError: when the name is taken, or could be a provider's.
    """
    if name == OFFLINE or ":" in name or _registered.setdefault(name, make) is not make:
        raise ValueError(f"No model can be registered as {name!r}.")


def select_model(specification: AgentSpecification, context: UserExecutionContext) -> Model:
    """Return the model that drives the agent `specification` in the run of `context`.

    It is the preferred one as long as the installation offers it, else the one that `NETRA_MODEL` names.

    Raises:
        UnavailableError: It cannot be used, for instance because its key is missing.

    """
    name = context.preferences.chosen_model
    if name == OFFLINE:
        return offline_model(specification.name)
    setting = "NETRA_MODEL" if name == settings.NETRA_MODEL else "NETRA_MODELS"
    try:
        return _named_model(name, setting=setting, agent_name=specification.name)
    except ImproperlyConfigured as error:
        raise UnavailableError(str(error), run_id=context.run_id) from error


def select_fallback(specification: AgentSpecification, context: UserExecutionContext) -> Model | None:
    """Return the cheaper model of the context's tier for an agent; none where it names no usable one."""
    name = context.preferences.chosen_fallback
    if not name:
        return None
    if name == OFFLINE:
        return offline_model(specification.name)
    try:
        return _named_model(name, setting="NETRA_MODELS", agent_name=specification.name)
    except ImproperlyConfigured:
        logger.exception("The cheaper model of tier %s cannot be used", context.tier)
        return None


def is_metered(model: Model) -> bool:
    """Tell whether somebody charges for the tokens of `model`."""
    return model.model_name != OFFLINE


def check_model_setting() -> None:
    """Check that `NETRA_MODEL` and `NETRA_MODELS` name models that can be used, without calling them.

    Raises:
        ImproperlyConfigured: The provider of one is unknown, or a package or an environment variable is
            missing.

    """
    if settings.NETRA_MODEL != OFFLINE:
        _named_model(settings.NETRA_MODEL, setting="NETRA_MODEL", agent_name=CATALOG[0].name)
    for name in sorted(allowed_models() - {settings.NETRA_MODEL, OFFLINE}):
        _named_model(name, setting="NETRA_MODELS", agent_name=CATALOG[0].name)


def _named_model(name: str, *, setting: str, agent_name: str) -> Model:
    if name in _registered:
        return _registered[name](agent_name)
    if ":" not in name:
        raise ImproperlyConfigured(
            f"{setting} names {name!r}; it has to be {OFFLINE!r} or PROVIDER:MODEL, such as openai:gpt-4o."
        )
    for variable in _KEYS:
        if os.environ.get(variable) == "":
            # As when it is not set: what each provider's package makes of an empty one is its own affair.
            del os.environ[variable]
    try:
        return infer_model(name)
    except ImportError as error:
        extra = _EXTRA.search(str(error))
        package = f"pydantic-ai-slim[{extra[1]}]" if extra else (error.name or "its provider's package")
        raise ImproperlyConfigured(f"{setting} names {name!r}, which needs the package {package}.") from error
    except UserError as error:
        variables = _VARIABLE.findall(error.message)
        if variables:
            needed = " or ".join(dict.fromkeys(variables))
            raise ImproperlyConfigured(
                f"{setting} names {name!r}, which needs the environment variable {needed}."
            ) from error
        raise ImproperlyConfigured(f"{setting} names {name!r}: {error.message}") from error
