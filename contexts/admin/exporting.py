"""Usage as a file for spreadsheets."""

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from contexts.audit import record_system_audit
from contexts.models import User
from contexts.usage_export import Period, export_usage


def export_response(request: HttpRequest, tenants: list[UUID], period: Period) -> StreamingHttpResponse:
    """Return a file of what `tenants` use, written while it is sent, and audit that it was asked for."""
    assert isinstance(request.user, User)
    now = timezone.now()
    record_system_audit("usage_exported", user_id=request.user.id, period=str(period), tenants=len(tenants))
    pieces = export_usage(tenants, period, actor=request.user, now=now)
    return StreamingHttpResponse(
        _later(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="usage-{period}-{now:%Y-%m-%d}.csv"',
            "Cache-Control": "no-store",
        },
    )


async def _later(pieces: Iterator[str]) -> AsyncIterator[str]:
    while (piece := await sync_to_async(_next)(pieces)) is not None:
        yield piece


def _next(pieces: Iterator[str]) -> str | None:
    return next(pieces, None)
