"""What a user prefers, resolved from their tier, their tenant and themselves."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError

OFFLINE_MODEL = "offline"
"""The analyst that needs no key and costs nothing, so that everybody may prefer it."""

# BCP 47 (RFC 5646), as far as answers need it: language, script, region and variants.
_LANGUAGE = re.compile(
    r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"
)
_AGENT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_MODEL = re.compile(r"[!-~]{1,200}")


class Statement(Protocol):
    """Whatever states preferences: a tier, a tenant, a user. Blank and none state nothing."""

    preferred_model: str
    preferred_language: str
    preferred_time_zone: str
    preferred_agents: list[str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Preferences:
    """How the work for a user is to be done."""

    model: str = ""
    """Model of the agents as a Pydantic AI model string; blank: the installation's."""
    fallback_model: str = ""
    """A cheaper model, for when most of the quota is used; blank: none. Only tiers state one."""
    language: str = ""
    """Language of answers (BCP 47); blank: the question's."""
    time_zone: str = "UTC"
    """Time zone of dates in answers (IANA)."""
    agents: frozenset[str] | None = None
    """Names of the agents switched on, besides those that always are; none: all of them."""

    @property
    def chosen_model(self) -> str:
        """Return the model to use: the preferred one as long as it is allowed, else the installation's."""
        return self.model if self.model in allowed_models() else settings.NETRA_MODEL

    @property
    def chosen_fallback(self) -> str:
        """Return the cheaper model where it is allowed and another than the chosen one, else blank."""
        is_usable = self.fallback_model in allowed_models() and self.fallback_model != self.chosen_model
        return self.fallback_model if is_usable else ""

    @property
    def zone(self) -> ZoneInfo:
        """Return the time zone itself."""
        return ZoneInfo(self.time_zone)

    def allows(self, agent_name: str) -> bool:
        """Tell whether the agent is switched on."""
        return self.agents is None or agent_name in self.agents or agent_name in _agent_names.always_on


DEFAULT_PREFERENCES = Preferences()


@dataclass(frozen=True, slots=True)
class AgentNames:
    """The names of the agents that exist."""

    known: tuple[str, ...] = ()
    """All of them, in the order in which they work."""
    always_on: frozenset[str] = frozenset()
    """Those that nobody can switch off."""


_agent_names = AgentNames()


def register_agent_names(names: Iterable[str], *, always_on: Iterable[str]) -> None:
    """Tell which agents exist; those in `always_on` cannot be switched off."""
    global _agent_names
    _agent_names = AgentNames(known=tuple(names), always_on=frozenset(always_on))


def agent_names() -> AgentNames:
    """Return which agents exist, as `register_agent_names` was told."""
    return _agent_names


def allowed_models() -> frozenset[str]:
    """Return the models that may be preferred: the installation's, those it offers besides, and `offline`."""
    return frozenset({settings.NETRA_MODEL, OFFLINE_MODEL, *settings.NETRA_MODELS})


def resolve_preferences(statements: Iterable[Statement], *, fallback_model: str = "") -> Preferences:
    """Return what holds after `statements`, the most general first: the last one stated wins.

    `fallback_model` is the tier's.

    A model that the installation does not allow, or no longer, counts as not stated.
    """
    model, language, time_zone, agents = "", "", "UTC", None
    allowed = allowed_models()
    for statement in statements:
        if statement.preferred_model in allowed:
            model = statement.preferred_model
        language = statement.preferred_language or language
        time_zone = statement.preferred_time_zone or time_zone
        if statement.preferred_agents is not None:
            agents = frozenset(statement.preferred_agents)
    return Preferences(
        model=model,
        fallback_model=fallback_model,
        language=language,
        time_zone=time_zone,
        agents=agents,
    )


def validate_model(value: str) -> None:
    """Refuse what cannot be a model string.

    Raises:
        ValidationError: when it has blanks or is longer than 200 characters.
    """
    if not _MODEL.fullmatch(value):
        raise ValidationError("A model is named like openai:gpt-4o, without blanks.")


def validate_allowed_model(value: str) -> None:
    """Refuse a model that the installation does not offer: its operator pays for it.

    Raises:
        ValidationError: naming those that it offers.
    """
    allowed = allowed_models()
    if value not in allowed:
        raise ValidationError(f"This installation offers the models {', '.join(sorted(allowed))}.")


def validate_language(value: str) -> None:
    """Refuse what is no language tag.

    Raises:
        ValidationError: when it is not well-formed as BCP 47 asks.
    """
    if not _LANGUAGE.fullmatch(value):
        raise ValidationError("A language is a BCP 47 tag such as en or pt-BR.")


def validate_time_zone(value: str) -> None:
    """Refuse what is no time zone.

    Raises:
        ValidationError: when the IANA database does not know it.
    """
    if value not in available_timezones() - {"localtime"}:
        raise ValidationError("A time zone is an IANA name such as Europe/Berlin.")


def validate_agent_name(value: str) -> None:
    """Refuse what cannot name an agent.

    Raises:
        ValidationError: when it is not a short lower-case word.
    """
    if not _AGENT_NAME.fullmatch(value):
        raise ValidationError("An agent's name is a lower-case word.")


def validate_known_agent(value: str) -> None:
    """Refuse a name that no agent has.

    Raises:
        ValidationError: naming those that can be switched on, and those that always are.
    """
    names = _agent_names
    if value not in names.known:
        choice = ", ".join(name for name in names.known if name not in names.always_on)
        always_on = " and ".join(name for name in names.known if name in names.always_on)
        raise ValidationError(f"Choose from {choice}; {always_on} are always on.")
