"""Markdown tables."""

from collections.abc import Iterable, Sequence


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Write a Markdown table whose first `texts` columns hold words and whose others hold figures."""
    rule = [":---" if position < texts else "---:" for position in range(len(headers))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headers, rule, *rows))
