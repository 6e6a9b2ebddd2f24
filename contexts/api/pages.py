"""Cursor pages: stable while rows are added, `{next, previous, results}`."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from contexts.exceptions import InvalidRequestError


class CursorPages(CursorPagination):
    """Pages of 50 rows, or of `page_size` (1 to 200)."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"

    def __init__(self, ordering: Sequence[str]) -> None:
        """Page through rows in `ordering`, which must tell any two rows apart."""
        self.ordering = tuple(ordering)

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: Any = None
    ) -> list[Any] | None:
        """Return the page that the request's cursor points at.

        Raises:
            InvalidRequestError: when the cursor is none that was given out.
        """
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, OverflowError, DataError) as error:
            raise InvalidRequestError("The cursor is not one that was given out for these pages.") from error


def page_schema(name: str, row: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """Describe a page of `row`s for the OpenAPI document."""
    return inline_serializer(
        name,
        {
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
            "results": row(many=True),
        },
    )


def page_parameters() -> list[OpenApiParameter]:
    """Describe what a request for a page may say."""
    return [
        OpenApiParameter(
            "cursor", str, description="As given in `next` or `previous`; the first page without."
        ),
        OpenApiParameter("page_size", int, description="1 to 200 rows; 50 when not given."),
    ]
