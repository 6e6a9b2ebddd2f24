"""The share of traffic that a question says can wait."""

import re

_WORDS = {
    r"two[- ]thirds?": 0.6667,
    r"(?:a|one)[- ]third": 0.3333,
    r"three[- ]quarters?": 0.75,
    r"(?:a|one)[- ]quarter": 0.25,
    r"(?:a |one )?half": 0.5,
    r"(?:all|everything|every request)": 1.0,
    r"(?:a|one)[- ]fifth": 0.2,
    r"(?:a|one)[- ]tenth": 0.1,
}
_PERCENT = re.compile(r"(?<![\d.])(\d{1,4}(?:[.,]\d+)?)\s*(?:%|per ?cent\b|prozent\b)", re.IGNORECASE)


def find_share(question: str) -> float | None:
    """Return the first share named in `question` as a part of one; None when there is none.

    What is more than 100 % is returned as it stands, above 1.
    """
    if match := _PERCENT.search(question):
        return round(float(match[1].replace(",", ".")) / 100, 6)
    for words, share in _WORDS.items():
        if re.search(rf"\b{words}\b", question, re.IGNORECASE):
            return share
    return None
