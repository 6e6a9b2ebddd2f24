"""Datasets over REST."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.serializers import DatasetSerializer, NewDatasetSerializer
from agents.api.upload_handler import ADMITTED_UPLOAD, MAX_REQUEST_BYTES, BoundedUploadHandler
from agents.selectors import dataset_of, datasets_of
from agents.uploads import delete_dataset, store_dataset
from contexts.api.base import ContextView
from contexts.api.pages import page_parameters, page_schema


class DatasetsView(ContextView):
    """`GET, POST datasets`."""

    parser_classes: tuple[type[BaseParser], ...] = (MultiPartParser,)
    max_body_bytes: ClassVar[int] = MAX_REQUEST_BYTES
    own_scope_methods = frozenset({"POST"})

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Have files counted as they arrive, also when the sign-in's CSRF check is what reads them."""
        request.upload_handlers = [BoundedUploadHandler(request, limit=settings.MAX_UPLOAD_BYTES)]
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        operation_id="list_datasets",
        parameters=page_parameters(),
        responses=page_schema("DatasetPage", DatasetSerializer),
    )
    def get(self, request: Request) -> Response:
        """List the tenant's datasets, newest first."""
        return self.page(datasets_of(self.context), DatasetSerializer, ordering=("-created_at", "-id"))

    @extend_schema(
        operation_id="store_dataset",
        request={"multipart/form-data": NewDatasetSerializer},
        responses={201: DatasetSerializer},
    )
    def post(self, request: Request) -> Response:
        """Import a usage log and keep it for the tenant."""
        upload = self.read(NewDatasetSerializer)
        dataset = store_dataset(
            self.context,
            file=Path(upload["file"].temporary_file_path()),
            filename=upload["file"].name,
            name=upload["name"],
            assume_model=upload["assume_model"] or None,
            now=datetime.now(UTC),
            admitted=getattr(request._request, "scope", {}).get(ADMITTED_UPLOAD),
        )
        return Response(DatasetSerializer(dataset).data, status=status.HTTP_201_CREATED)


class DatasetView(ContextView):
    """`GET, DELETE datasets/{id}`."""

    own_scope_methods = frozenset({"DELETE"})

    @extend_schema(operation_id="read_dataset", responses=DatasetSerializer)
    def get(self, request: Request, dataset_id: UUID) -> Response:
        """Show what is known about a dataset."""
        return Response(DatasetSerializer(dataset_of(self.context, dataset_id)).data)

    @extend_schema(operation_id="delete_dataset", responses={204: None})
    def delete(self, request: Request, dataset_id: UUID) -> Response:
        """Delete a dataset and its file."""
        delete_dataset(self.context, dataset_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
