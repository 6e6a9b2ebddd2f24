"""Whether the pages should say how to get into a demonstration server."""

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def is_demonstration() -> bool:
    """Tell whether demo accounts may exist here: in development mode only."""
    return bool(settings.DEBUG)
