"""Model names in a question, as the price list knows them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from genai_prices.data_snapshot import get_snapshot

from agents.analysis.candidates import WELL_KNOWN
from agents.analysis.prices import find_prices

_MENTION = re.compile(
    r"(?<![\w/.-])(?:(?:openai|anthropic|google|azure|bedrock|mistral|groq|deepseek|x-ai|xai)/)?(?:"
    r"gpt[ -]?\d[\w.]*(?:-[a-z0-9.]+| (?:mini|nano|turbo|pro)\b)*"
    r"|gpt-oss[\w.-]*"
    r"|o[134](?:[ -](?:mini|pro|preview))?(?![\w.%$])"
    r"|claude[ -](?:\d[\d.]*[ -])?(?:\d[ -])?(?:opus|sonnet|haiku|instant)(?:[ -]\d[\w.-]*)?"
    r"|claude[ -]\d[\w.-]*|claude(?![\w-])"
    r"|(?:opus|sonnet|haiku)(?:[ -]\d[\d.-]*)?"
    r"|gemini(?:[ -]\d[\d.]*)?(?:[ -](?:pro|flash|lite|ultra|nano))*"
    r"|(?:llama|mistral|mixtral|ministral|codestral|magistral|deepseek|grok|command|qwen|kimi|phi|gemma|glm)"
    r"(?:[ -]?\d[\w.]*)?(?:-[a-z0-9.]+)*(?: (?:small|medium|large|mini|flash|pro|chat)\b)?"
    r")(?![\w])",
    re.IGNORECASE,
)
_PROVIDERS = {
    "claude": "anthropic",
    "gemini": "google",
    "gpt": "openai",
    "grok": "x-ai",
    "mistral": "mistral",
    "deepseek": "deepseek",
}
_PLAIN_WORDS = {"command", "phi"}
_DATE_DIGITS = 4  # From four digits on, a number in a model's id is a date, which says nothing of its rank.


@dataclass(frozen=True, slots=True)
class ModelMention:
    """A model that a question names."""

    written: str
    """As it stands in the question."""
    model: str
    """The name to look it up by; the price list may still not know it."""


def find_models(question: str) -> tuple[ModelMention, ...]:
    """Return the models that `question` names, in its order, each once."""
    found: dict[str, ModelMention] = {}
    for match in _MENTION.finditer(question):
        written = match[0].rstrip(" .-")
        if written.lower() not in _PLAIN_WORDS:
            model = resolve_model(written)
            found.setdefault(model, ModelMention(written, model))
    return tuple(found.values())


@cache
def resolve_model(written: str) -> str:
    """Turn a name as people write it into one that the price list knows, if it has one that fits.

    A name without a version, such as `claude sonnet`, means the latest version.
    """
    hyphenated = re.sub(r"\s+", "-", written.strip().lower())
    hyphenated = re.sub(r"^gpt(?=\d)", "gpt-", hyphenated)
    hyphenated = re.sub(r"^(gpt-\d[\d.]*o)(mini)$", r"\1-\2", hyphenated)
    if re.match(r"(opus|sonnet|haiku)\b", hyphenated):
        hyphenated = f"claude-{hyphenated}"
    if re.search(r"\d", hyphenated):
        return next((name for name in (hyphenated, *_reordered(hyphenated)) if _is_priced(name)), hyphenated)
    return _latest(hyphenated) or hyphenated


def _reordered(name: str) -> tuple[str, ...]:
    """Spellings of `claude-4.5-sonnet` and `claude-sonnet-4.5` in the provider's way."""
    dotted = re.match(r"claude-([\d.-]+)-(opus|sonnet|haiku)$", name)
    if dotted:
        return (f"claude-{dotted[2]}-{dotted[1].replace('.', '-')}",)
    return (name.replace(".", "-"),)


def _is_priced(name: str) -> bool:
    try:
        find_prices(name, priced_at=datetime.now(UTC))
    except LookupError:
        return False
    return True


def _latest(family: str) -> str | None:
    words = set(family.split("-")) | ({"sonnet"} if family == "claude" else set())
    known = [name for name in WELL_KNOWN if words <= set(name.split("-"))]
    provider = next((owner for word, owner in _PROVIDERS.items() if word in words), None)
    listed = [
        model.id
        for owner in get_snapshot().providers
        if owner.id == provider
        for model in owner.models
        if not model.deprecated and _words_of(model.id) == words
    ]
    versions = sorted(listed, key=_version_of)
    if versions and _version_of(versions[-1]):
        return versions[-1]
    return known[0] if known else (family if _is_priced(family) else None)


def _words_of(model_id: str) -> set[str]:
    return {word for word in model_id.split("-") if not re.fullmatch(r"[\d.]+|latest", word)}


def _version_of(model_id: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", model_id) if len(number) < _DATE_DIGITS)
