"""A run's events over REST, at once or as they come."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.event_stream import MEDIA_TYPE, check_streams, stream_events
from agents.selectors import events_of, run_of
from contexts.api.authentication import sign_in_of
from contexts.api.base import ContextView
from contexts.exceptions import InvalidRequestError

# PostgreSQL's integer: no event has a higher number.
_HIGHEST_SEQ = 2**31 - 1


class EventStreamRenderer(BaseRenderer):
    """Lets REST framework choose `text/event-stream` by the Accept header."""

    media_type = MEDIA_TYPE
    format = "event-stream"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        """Return `data` as it is; streams are written by `stream_events`."""
        return data


class RunEventsView(ContextView):
    """`GET runs/{id}/events`."""

    renderer_classes = (JSONRenderer, EventStreamRenderer)

    @extend_schema(
        operation_id="list_events",
        parameters=[
            OpenApiParameter("after", int, description="Only events with a higher number; 0 when not given."),
            OpenApiParameter(
                "Last-Event-ID", int, OpenApiParameter.HEADER, description="The same, for streams."
            ),
        ],
        responses={
            (200, "application/json"): inline_serializer(
                "Events", {"events": serializers.ListField(child=serializers.DictField())}
            ),
            (200, MEDIA_TYPE): OpenApiResponse(str, "One message an event, `id:` its number."),
            204: OpenApiResponse(description="Of a stream: the run has ended, and no event is left."),
        },
    )
    def get(self, request: Request, run_id: UUID) -> Response | HttpResponse | StreamingHttpResponse:
        """List a run's events; with `Accept: text/event-stream` go on until it ends."""
        is_stream = request.accepted_renderer.format == EventStreamRenderer.format
        after = _position(request, is_stream=is_stream)
        # Looked at before the events: of a run that had ended by now, none can be missing below.
        has_ended = run_of(self.context, run_id).finished_at is not None
        events = events_of(self.context, run_id, after=after)
        if not is_stream:
            return Response({"events": [event.frame() for event in events]})
        if has_ended and not events:
            # Anything but 204 makes an EventSource connect again.
            return HttpResponse(status=204)
        check_streams(self.context.user_id)
        return StreamingHttpResponse(
            stream_events(sign_in_of(request), run_id, after=after),
            content_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


def _position(request: Request, *, is_stream: bool) -> int:
    """Return the number after which to go on; a reconnecting stream says it in `Last-Event-ID`."""
    stated = request.query_params.get("after", "0")
    if is_stream:
        stated = request.headers.get("Last-Event-ID", stated)
    if not (stated.isascii() and stated.isdigit() and len(stated) <= 10 and int(stated) <= _HIGHEST_SEQ):
        raise InvalidRequestError("The position in the events is not a whole number from 0.")
    return int(stated)
