"""The choice of the model that drives an agent."""

import re

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model

from agents.catalog import AgentSpecification
from agents.llm.offline import MODEL_NAME as OFFLINE
from agents.llm.offline import offline_model
from contexts.context import UserExecutionContext
from contexts.exceptions import UnavailableError

_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]+)`")
_EXTRA = re.compile(r"pydantic-ai-slim\[([a-z0-9-]+)\]")


def select_model(specification: AgentSpecification, context: UserExecutionContext) -> Model:
    """Return the model that drives the agent `specification` in the run of `context`.

    Every agent and every user gets the one that `NETRA_MODEL` names.

    Raises:
        UnavailableError: It cannot be used, for instance because its key is missing.

    """
    if settings.NETRA_MODEL == OFFLINE:
        return offline_model(specification.name)
    try:
        return _named_model(settings.NETRA_MODEL)
    except ImproperlyConfigured as error:
        raise UnavailableError(str(error), run_id=context.run_id) from error


def is_metered(model: Model) -> bool:
    """Tell whether somebody charges for the tokens of `model`."""
    return model.model_name != OFFLINE


def check_model_setting() -> None:
    """Check that `NETRA_MODEL` names a model that can be used, without calling it.

    Raises:
        ImproperlyConfigured: Its provider is unknown, or a package or an environment variable is missing.

    """
    if settings.NETRA_MODEL != OFFLINE:
        _named_model(settings.NETRA_MODEL)


def _named_model(name: str) -> Model:
    if ":" not in name:
        raise ImproperlyConfigured(
            f"NETRA_MODEL is {name!r}; it has to be {OFFLINE!r} or PROVIDER:MODEL, such as openai:gpt-4o."
        )
    try:
        return infer_model(name)
    except ImportError as error:
        extra = _EXTRA.search(str(error))
        package = f"pydantic-ai-slim[{extra[1]}]" if extra else (error.name or "its provider's package")
        raise ImproperlyConfigured(f"NETRA_MODEL is {name!r}, which needs the package {package}.") from error
    except UserError as error:
        variables = _VARIABLE.findall(error.message)
        if variables:
            needed = " or ".join(dict.fromkeys(variables))
            raise ImproperlyConfigured(
                f"NETRA_MODEL is {name!r}, which needs the environment variable {needed}."
            ) from error
        raise ImproperlyConfigured(f"NETRA_MODEL is {name!r}: {error.message}") from error
