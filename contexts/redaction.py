"""Which names and which parts of texts hold secrets, and plain data without them.

Everything here takes time in proportion to what it is given, and never raises for JSON-like data.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

REDACTED = "[redacted]"
TOO_DEEP = "[nested too deep]"
"""Stands for what is nested deeper than `DEPTH_LIMIT`."""
DEPTH_LIMIT = 64

_Kind = Literal["plain", "tokens", "secret"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_ENDS = (
    *("password", "passwords", "passwd", "passphrase", "pwd", "secret", "secrets", "apikey", "apikeys"),
    *("credential", "credentials", "authorization", "bearer", "cookie", "cookies", "jwt"),
)
_KEY_KINDS = frozenset(
    {"api", "private", "access", "signing", "encryption", "session", "auth", "ssh", "master"}
)
# Before `token`, these say that it lets somebody in; `output token` and `first token` are a model's.
_TOKEN_KINDS = frozenset(
    {
        "access",
        "refresh",
        "auth",
        "session",
        "csrf",
        "id",
        "api",
        "bearer",
        "bot",
        "login",
        "personal",
        "security",
    }
)
_FIGURE = re.compile(r"[$-]?\d{1,15}(?:\.\d{1,15})?%?|\d{4}-\d\d-\d\d[T ][\d:.+Z-]{8,24}")

# Nothing below can match in a text without one of these in lower case, so most texts cost a quick look.
_HINTS = (
    *(
        "passw",
        "passp",
        "pwd",
        "secret",
        "token",
        "key",
        "credential",
        "authori",
        "bearer",
        "basic",
        "cookie",
    ),
    *("jwt", "eyj", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "xox", "akia", "asia", "aiza", "hf_", "glpat"),
    *("gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat", "://"),
)
_SHORTEST = 6
_SECRETS = (
    re.compile(
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    re.compile(r"(?i)\b(?:set-)?(?:cookie|authorization)[\\\"']{0,4}\s{0,3}[:=][^\r\n]*"),
    # What follows in ordinary speech is a word: "bearer authentication", "a basic gpt-4o plan".
    re.compile(r"(?i)\bbearer\s{1,3}(?![a-z]{1,20}(?:[.,;:]|\s|$))[\w.~+/=-]{8,}"),
    re.compile(r"(?i)\bbasic\s{1,3}(?=[a-z+/]{0,60}[0-9=])[\w+/=]{8,}"),
    # Signed tokens, as they are or cut short.
    re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{8,}(?:\.[\w-]*){0,4}"),
    # Keys that their issuers mark with a prefix; in a name of ours all letters are small.
    re.compile(r"(?<![A-Za-z0-9])(?:sk|pk|rk)[-_](?=[a-z_-]{0,40}[A-Z0-9])[\w-]{12,}"),
    re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)(?=[A-Z]{0,15}\d)[A-Z0-9]{12,}|\bAIza[\w-]{20,}"),
    re.compile(
        r"(?<![A-Za-z0-9])(?:xox[abeprs]-[\w-]{8,}|(?:gh[opsur]|hf|github_pat)_\w{16,}|glpat-[\w-]{16,})"
    ),
    # user:password@ of an address.
    re.compile(r"(?<=://)[^\s/\"'<>]+@"),
)
_NAMED = re.compile(
    r"(?i)(?:pass(?:w|p)|pwd|secret|token|key|credential|authorization|bearer|jwt|cookie)[\w-]{0,40}"
    r"[\\\"']{0,4}\s{0,3}[:=]{1,2}>?\s{0,3}"
)
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
_LONGEST_PREFIX = 40
_VALUE = re.compile(r"""\\*"[^"]*"?|\\*'[^']*'?|[^\s&,;"')]+""")
# Enough of a value to tell what it is.
_VALUE_START = re.compile(r"""\\{0,8}"[^"]{0,256}|\\{0,8}'[^']{0,256}|[^\s&,;"')]{1,256}""")
# Not a word and not a piece of SQL.
_OPAQUE = re.compile(r"(?=[^\d]{0,200}\d)(?=[^A-Za-z]{0,200}[A-Za-z])[\w.+/=~-]{12,}")
_ROUNDS = 4


def is_secret_name(name: str, value: object = None) -> bool:
    """Tell whether `value` under `name`, in whatever spelling, is a secret; an amount of `tokens` is none."""
    kind = _kind_of(name)
    return kind == "secret" or (kind == "tokens" and not is_figures(value))


def is_figures(value: object) -> bool:
    """Tell whether `value` holds nothing but amounts and times."""
    match value:
        case str():
            return _FIGURE.fullmatch(value) is not None
        case Mapping():
            return all(map(is_figures, value.values()))
        case list() | tuple():
            return all(map(is_figures, value))
        case _:
            return isinstance(value, (int, float, Decimal))


def may_hold_secret(text: str) -> bool:
    """Tell, quickly, whether `redact` could find anything in data whose JSON is `text`, or in a text."""
    text = text.lower()
    for hint in _HINTS:  # noqa: SIM110 - several times as fast as any()
        if hint in text:
            return True
    return False


def redact(data: Any, *, secret_names: frozenset[str] = frozenset()) -> Any:
    """Return JSON-like `data` with `[redacted]` in place of each secret.

    That is a value whose name looks secret, or is one of `secret_names`; a cell of a table (`columns` and
    `rows`) whose column does; and a part of a text that looks like a secret. Amounts stay whatever tokens
    they count. What is nested deeper than `DEPTH_LIMIT` is left out. Done twice it changes nothing more.
    """
    return _Redaction(secret_names).value(data, 0, only_figures=False)


def redact_text(text: str) -> str:
    """Return `text` with `[redacted]` in place of each part that looks like a secret."""
    if len(text) < _SHORTEST or not may_hold_secret(text):
        return text
    # What stood beside a secret may look like one only without it.
    for _ in range(_ROUNDS):
        redacted = _redact_once(text)
        if redacted == text:
            break
        text = redacted
    return text


class _Redaction:
    """One walk through data."""

    def __init__(self, secret_names: frozenset[str]) -> None:
        self._names: dict[Any, tuple[Any, _Kind]] = {name: (name, "secret") for name in secret_names}

    def value(self, value: Any, depth: int, *, only_figures: bool) -> Any:
        if value is None or isinstance(value, (int, float)):
            return value
        if isinstance(value, str):
            if only_figures and value and not is_figures(value):
                return REDACTED
            return redact_text(value)
        is_mapping = isinstance(value, Mapping)
        if not is_mapping and not isinstance(value, (list, tuple)):
            return value
        if depth >= DEPTH_LIMIT:
            return TOO_DEEP
        if is_mapping:
            return self._mapping(value, depth + 1, only_figures=only_figures)
        return [self.value(item, depth + 1, only_figures=only_figures) for item in value]

    def _mapping(self, data: Mapping[Any, Any], depth: int, *, only_figures: bool) -> dict[Any, Any]:
        redacted: dict[Any, Any] = {}
        for name, value in data.items():
            shown, kind = self._name(name)
            redacted[shown] = (
                REDACTED
                if kind == "secret"
                else self.value(value, depth, only_figures=only_figures or kind == "tokens")
            )
        if "columns" in redacted and "rows" in redacted:
            self._redact_columns(redacted)
        return redacted

    def _redact_columns(self, table: dict[Any, Any]) -> None:
        """Redact the cells of `table`, if it is one, below the names of secrets."""
        columns, rows = table["columns"], table["rows"]
        if not isinstance(columns, list) or not isinstance(rows, list):
            return
        names = [column.get("name") if isinstance(column, dict) else column for column in columns]
        kinds = [self._name(name)[1] if isinstance(name, str) else "plain" for name in names]
        if "secret" in kinds:
            secret = {place for place, kind in enumerate(kinds) if kind == "secret"}
            table["rows"] = [
                [REDACTED if place in secret else cell for place, cell in enumerate(row)]
                if isinstance(row, list)
                else row
                for row in rows
            ]

    def _name(self, name: Any) -> tuple[Any, _Kind]:
        """Return how a name is shown, and its kind; remembered, for rows repeat their names."""
        if name not in self._names:
            is_text = isinstance(name, str)
            self._names[name] = (redact_text(name), _kind_of(name)) if is_text else (name, "plain")
        return self._names[name]


def _kind_of(name: str) -> _Kind:
    """Return what may stand under a name; under that of `tokens` amounts are no secrets."""
    if not may_hold_secret(name):
        return "plain"
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word.endswith(_SECRET_ENDS) for word in words):
        return "secret"
    if any(kind in _KEY_KINDS and word in {"key", "keys"} for kind, word in pairwise(words)):
        return "secret"
    if "per" in words or not any(word.endswith(("token", "tokens")) for word in words):
        return "plain"
    if not words[-1].endswith("token"):
        return "tokens"
    is_a_models = words[-1] == "token" and len(words) > 1 and words[-2] not in _TOKEN_KINDS
    return "tokens" if is_a_models else "secret"


def _redact_once(text: str) -> str:
    for pattern in _SECRETS:
        text = pattern.sub(REDACTED, text)
    return _without_assigned_secrets(text)


def _without_assigned_secrets(text: str) -> str:
    """Return `text` without the values of what reads `password=…` or `"api_key": "…"`."""
    parts: list[str] = []
    at = 0
    while found := _NAMED.search(text, at):
        parts.append(text[at : found.end()])
        before = text[max(at, found.start() - _LONGEST_PREFIX) : found.start()]
        prefix = before[len(before.rstrip(_NAME_CHARACTERS)) :]
        at = found.end()
        start = _VALUE_START.match(text, at)
        if start and _is_assigned_secret(prefix + found[0].rstrip("\\\"':=> \t\r\n"), start[0]):
            parts.append(REDACTED)
            value = _VALUE.match(text, at)
            at = value.end() if value else start.end()
    return "".join(parts) + text[at:]


def _is_assigned_secret(name: str, value: str) -> bool:
    """Tell whether what begins with `value` is a secret."""
    value = value.strip("\\\"'")
    kind = _kind_of(name)
    if kind == "plain" or value.startswith(REDACTED):
        return False
    if kind == "secret":
        return not (name.lower().endswith("token") and _FIGURE.fullmatch(value))
    return _OPAQUE.fullmatch(value) is not None
