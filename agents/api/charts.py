"""Charts over REST."""

from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from agents.selectors import chart_of
from contexts.api.base import ContextView

MEDIA_TYPE = "image/svg+xml"


class SvgRenderer(BaseRenderer):
    """Writes a chart as the SVG it is."""

    media_type = MEDIA_TYPE
    format = "svg"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        """Return the SVG's bytes."""
        return str(data).encode()


class ChartView(ContextView):
    """`GET charts/{id}.svg`."""

    renderer_classes = (SvgRenderer, JSONRenderer)

    @extend_schema(
        operation_id="read_chart",
        responses={(200, MEDIA_TYPE): OpenApiResponse(str, "The drawing; it holds no script.")},
    )
    def get(self, request: Request, chart_id: UUID) -> HttpResponseBase:
        """Draw a chart of one of the user's answers."""
        chart = chart_of(self.context, chart_id)
        headers = {
            # A drawing opened by itself runs nothing and loads nothing.
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            # Kept by the browser, but shown only after asking again: who is signed in may have changed.
            "Cache-Control": "private, no-cache",
            "ETag": f'"{chart.id}"',
        }
        response = Response(chart.svg, headers=headers, content_type=f"{MEDIA_TYPE}; charset=utf-8")
        response.accepted_renderer, response.accepted_media_type = SvgRenderer(), MEDIA_TYPE
        return get_conditional_response(request._request, etag=headers["ETag"], response=response) or response
