"""Conversations over REST."""

from datetime import UTC, datetime
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from agents.answers import answers_of
from agents.api.serializers import (
    MessageSerializer,
    NewThreadSerializer,
    QuestionSerializer,
    StartedRunSerializer,
    ThreadChangeSerializer,
    ThreadSerializer,
)
from agents.runs import start_run
from agents.selectors import messages_of, thread_of, threads_of
from agents.threads import create_thread, delete_thread, rename_thread
from contexts.api.base import ContextView
from contexts.api.pages import CursorPages, page_parameters, page_schema


class ThreadsView(ContextView):
    """`GET, POST threads`."""

    @extend_schema(
        operation_id="list_threads",
        parameters=page_parameters(),
        responses=page_schema("ThreadPage", ThreadSerializer),
    )
    def get(self, request: Request) -> Response:
        """List the user's conversations, the most recently used first."""
        return self.page(threads_of(self.context), ThreadSerializer, ordering=("-updated_at", "-id"))

    @extend_schema(
        operation_id="create_thread", request=NewThreadSerializer, responses={201: ThreadSerializer}
    )
    def post(self, request: Request) -> Response:
        """Begin a conversation."""
        thread = create_thread(self.context, **self.read(NewThreadSerializer))
        return Response(ThreadSerializer(thread).data, status=status.HTTP_201_CREATED)


class ThreadView(ContextView):
    """`GET, PATCH, DELETE threads/{id}`."""

    @extend_schema(operation_id="read_thread", responses=ThreadSerializer)
    def get(self, request: Request, thread_id: UUID) -> Response:
        """Show one conversation."""
        return Response(ThreadSerializer(thread_of(self.context, thread_id)).data)

    @extend_schema(operation_id="rename_thread", request=ThreadChangeSerializer, responses=ThreadSerializer)
    def patch(self, request: Request, thread_id: UUID) -> Response:
        """Give a conversation another title."""
        thread = rename_thread(self.context, thread_id, **self.read(ThreadChangeSerializer))
        return Response(ThreadSerializer(thread).data)

    @extend_schema(operation_id="delete_thread", responses={204: None})
    def delete(self, request: Request, thread_id: UUID) -> Response:
        """Delete a conversation with its runs, events and charts."""
        delete_thread(self.context, thread_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MessagesView(ContextView):
    """`GET threads/{id}/messages`."""

    @extend_schema(
        operation_id="list_messages",
        parameters=page_parameters(),
        responses=page_schema("MessagePage", MessageSerializer),
    )
    def get(self, request: Request, thread_id: UUID) -> Response:
        """List a conversation's messages, the first one first."""
        pages = CursorPages(("created_at", "id"))
        messages = pages.paginate_queryset(messages_of(self.context, thread_id), request, self) or []
        answers = answers_of(self.context, [message.run_id for message in messages if message.run_id])
        rows = MessageSerializer(messages, many=True, context={"answers": answers})
        return pages.get_paginated_response(rows.data)


class ThreadRunsView(ContextView):
    """`POST threads/{id}/runs`."""

    own_scope_methods = frozenset({"POST"})

    @extend_schema(
        operation_id="start_run",
        request=QuestionSerializer,
        responses={202: StartedRunSerializer},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                str,
                OpenApiParameter.HEADER,
                description="1 to 200 characters; the same key returns the same run.",
            )
        ],
    )
    def post(self, request: Request, thread_id: UUID) -> Response:
        """Ask the agents; the answer comes as the run's events."""
        started = start_run(
            self.context,
            thread_id=thread_id,
            **self.read(QuestionSerializer),
            idempotency_key=request.headers.get("Idempotency-Key"),
            now=datetime.now(UTC),
        )
        return Response(StartedRunSerializer(started).data, status=status.HTTP_202_ACCEPTED)
