"""Conditions in a question: which requests it is about, such as those at 18:30 or those of one user."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .model_names import find_models

_MONTHS = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = (
    r"(?:\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]\.?m\b\.?)?"
    r"|\d{1,2}\s*(?:[ap]\.?m\b|o'?clock\b|uhr\b)|noon\b|midnight\b)"
)
_ISO = r"\d{4}-\d{2}-\d{2}"
_UNIT = r"(?:minute|hour|day|week|month|quarter|year)"
# In this order: what an earlier pattern takes is not looked at again.
_PATTERNS = (
    (
        "clock_range",
        rf"\b(?:between|from)\s+(?P<low>{_CLOCK})\s*(?:and|to|until|till|-|–)\s*(?P<high>{_CLOCK})",
    ),
    ("clock_range", rf"(?<![\w-])(?P<low>{_CLOCK})\s*(?:-|–|to|until|till)\s*(?P<high>{_CLOCK})"),
    (
        "date_range",
        rf"\b(?:between|from)\s+(?P<low>{_ISO})\s+(?:and|to|until|till)\s+(?P<high>{_ISO})(?![T ]*\d)",
    ),
    ("other", r"\bbetween\s+[^,.?!]*?\d[^,?!]*?\s+and\s+[^,?!]*?\d[^\s,?!]*"),
    ("other", rf"\b(?:between|from)\s+(?:{'|'.join(_DAYS)}|{_MONTHS})\w*\s+(?:and|to|until|till)\s+\w+"),
    ("after", rf"\b(?:after|since|from)\s+(?P<low>{_CLOCK})"),
    ("before", rf"\b(?:before|until|till)\s+(?P<high>{_CLOCK})"),
    ("other", rf"\b(?:after|since|before|until|till|from)\s+{_ISO}"),
    ("date", rf"\b(?:on\s+|at\s+|of\s+)?(?P<low>{_ISO})(?!\d)"),
    ("clock", rf"(?<![\w-])(?:(?:at|around|about)\s+)?(?P<low>{_CLOCK})"),
    ("other", rf"\b\d{{1,2}}(?:st|nd|rd|th)?\.?\s+(?:of\s+)?{_MONTHS}\b(?:\s+\d{{4}})?"),
    ("other", rf"\b{_MONTHS}\s+\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s+\d{{4}})?"),
    ("other", rf"\b(?:in|during|since|for|of|until|before|after)\s+{_MONTHS}\b(?:\s+\d{{4}})?"),
    ("other", r"(?<![\w.])\d{1,2}\.\d{1,2}\.(?:\d{2,4})?(?!\d)|(?<![\w/])\d{1,2}/\d{1,2}/\d{2,4}\b"),
    ("other", r"\b(?:in|during|since|for)\s+(?:19|20)\d{2}\b|\bq[1-4]\b"),
    ("other", rf"\b(?:the\s+)?(?:last|past|previous|first)\s+(?:\d+\s+|few\s+|two\s+|three\s+)?{_UNIT}s?\b"),
    ("weekday", rf"\b(?:(?:on|last|this|every)\s+)?(?:a\s+)?(?P<low>{'|'.join(_DAYS)})s?\b"),
    ("weekend", r"\b(?:(?:on|at|last|over|during|this)\s+)?(?:the\s+|a\s+)?weekends?\b"),
    (
        "other",
        r"\b(?:day before )?yesterday\b|\btoday\b|\btonight\b|\bthis (?:week|morning|afternoon|evening)\b",
    ),
    ("other", r"\b(?:in the|during the|every|last) (?:morning|afternoon|evening|night)s?\b|\bat night\b"),
    ("other", r"\b(?:during|in|outside|within|after)(?: of)? (?:business|office|working|peak) hours\b"),
)
_DELAYED = re.compile(r"\b(?:wait|run|delay\w*|mov\w+|process\w*|batch\w*)\b[^,.?!]{0,20}$")
_NAMELESS = frozenset(
    "a an the this that these those it we i you they he she us me our my your their his her its one "
    "ones all any "
    "each every everything everyone anybody everybody someone nobody which what who where when how "
    "why and or "
    "us by for from of on in at to with than more less most least much many other others another same "
    "request requests call calls token tokens model models llm llms ai project projects team teams "
    "user users key "
    "keys size sizes hour hours day days minute minutes week weeks weekday weekdays month months "
    "year years period "
    "periods time times date dates input inputs output outputs prompt prompts answer answers batch "
    "batching cache "
    "caching caches cached cost costs spend spends spending money price prices pricing bill bills usage data "
    "dataset datasets log logs file files table traffic company organisation organization default "
    "far now example "
    "free long provider providers list share total average mean median percent half going there here "
    "running each month's today tomorrow yesterday something anything nothing netra did does do is "
    "are was were "
    "has have had spent cost used use using largest smallest longest shortest people least instead "
    "language usual group groups row rows column columns department customer customers".split()
)
_NAME = r"(?P<name>[a-z][\w.@-]*)"
_GROUP = r"(?:project|team|user|key|department|customer|service|app|tenant)"
_NAME_PATTERNS = (
    rf"\b{_GROUP}\s+[\"'“]?{_NAME}",
    rf"\b(?:the|for|by|of|from)\s+{_NAME}[\s-]+{_GROUP}(?!\w)",
    rf"\b(?:does|did|do|has|will|would|is|was)\s+{_NAME}\s+(?:spend|spent|cost|costs|use|used|pay|paid|send|sent|make|made)\b",
    rf"\b{_NAME}['’]s?\s+(?:share|spend\w*|costs?|bill|requests?|usage|tokens?|calls?|traffic)\b",
    rf"\b(?:for|by|of|from)\s+{_NAME}(?=\s*(?:[?!,;]|\.?$|\.\s|\b(?:spend|cost|use|between|at|on|in|last|and)\b))",
    rf"\b(?:has|did|how much)\s+{_NAME}\s+spent\b|\bwhat\s+(?P<spender>[a-z][\w.@-]*)\s+spends\b",
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, and what it compares."""

    written: str
    """As it stands in the question."""
    kind: str
    """`clock`, `clock_range`, `after`, `before`, `date`, `date_range`, `weekday`, `weekend`, `name`, `model`
    or `other` for what cannot be expressed as a filter."""
    low: str = ""
    """The time, date, weekday, name or model; the lower end of a range."""
    high: str = ""
    """The upper end of a range."""


def find_conditions(text: str, models: Sequence[str] = ()) -> tuple[Condition, ...]:
    """Return the conditions in a question, in its order; `models` are names in it that it filters by.

    Words that name no part of the requests, such as `per day` or `next month`, are none.
    """
    lowered = text.lower()
    taken: list[tuple[int, int]] = []
    found: list[tuple[int, Condition]] = []

    def take(start: int, end: int, kind: str, low: str = "", high: str = "") -> None:
        if all(end <= first or start >= last for first, last in taken):
            taken.append((start, end))
            found.append((start, Condition(" ".join(text[start:end].split()), kind, low, high)))

    for model in models:
        start = lowered.find(model.lower())
        if start >= 0:
            take(start, start + len(model), "model", model)
    for kind, pattern in _PATTERNS:
        for match in re.finditer(pattern, lowered):
            if not _DELAYED.search(lowered[: match.start()]):
                groups = match.groupdict()
                take(match.start(), match.end(), kind, groups.get("low") or "", groups.get("high") or "")
    for pattern in _NAME_PATTERNS:
        for match in re.finditer(pattern, lowered):
            groups = match.groupdict()
            low = (groups.get("name") or groups.get("spender") or "").rstrip(".")
            if low and low not in _NAMELESS and not low.endswith("ing") and not find_models(low):
                take(match.start(), match.end(), "name", low)
    return tuple(condition for _, condition in sorted(found, key=lambda entry: entry[0]))
