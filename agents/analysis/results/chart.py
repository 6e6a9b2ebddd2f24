"""A rendered chart."""

from typing import Any

from .base import Result


class Chart(Result):
    """A chart rendered on the server."""

    svg: str
    """The picture: a complete `<svg>` element without scripts, transparent background."""
    alt_text: str
    """The same in words and numbers, for those who cannot see it."""
    vega_spec: dict[str, Any]
    """The Vega-Lite specification with its data."""
