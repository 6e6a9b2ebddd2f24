"""Runs over REST."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from agents.api.serializers import RunSerializer, StartedRunSerializer
from agents.cancelling import cancel_run
from agents.selectors import run_of
from agents.waiting import wait_of
from contexts.api.audit import AuditEntrySerializer
from contexts.api.base import ContextView
from contexts.api.pages import page_parameters, page_schema
from contexts.audit_trail import audit_of_run


class RunView(ContextView):
    """`GET runs/{id}`."""

    @extend_schema(operation_id="read_run", responses=RunSerializer)
    def get(self, request: Request, run_id: UUID) -> Response:
        """Show where a run stands, what it waits for by now, and what it used."""
        run = run_of(self.context, run_id)
        return Response(RunSerializer(run, context={"wait": wait_of(run)}).data)


class CancelView(ContextView):
    """`POST runs/{id}/cancel`."""

    own_scope_methods = frozenset({"POST"})

    @extend_schema(operation_id="cancel_run", request=None, responses={202: StartedRunSerializer})
    def post(self, request: Request, run_id: UUID) -> Response:
        """Ask a run to stop; it ends with `run_cancelled` within a moment."""
        cancel_run(self.context, run_id)
        return Response({"run_id": str(run_id)}, status=status.HTTP_202_ACCEPTED)


class RunAuditView(ContextView):
    """`GET runs/{id}/audit`."""

    @extend_schema(
        operation_id="list_run_audit",
        parameters=page_parameters(),
        responses=page_schema("RunAuditPage", AuditEntrySerializer),
    )
    def get(self, request: Request, run_id: UUID) -> Response:
        """List what was done or refused in a run, newest first; for its owner."""
        entries = audit_of_run(self.context, run_of(self.context, run_id).id)
        return self.page(entries, AuditEntrySerializer, ordering=("-id",))
