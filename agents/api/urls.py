"""The addresses of threads, runs, events, tool calls, datasets and charts."""

from django.urls import path

from agents.api.calls import CallView
from agents.api.charts import ChartView
from agents.api.datasets import DatasetsView, DatasetView
from agents.api.events import RunEventsView
from agents.api.runs import CancelView, RunAuditView, RunView
from agents.api.threads import MessagesView, ThreadRunsView, ThreadsView, ThreadView

urlpatterns = [
    path("threads", ThreadsView.as_view()),
    path("threads/<uuid:thread_id>", ThreadView.as_view()),
    path("threads/<uuid:thread_id>/messages", MessagesView.as_view()),
    path("threads/<uuid:thread_id>/runs", ThreadRunsView.as_view()),
    path("runs/<uuid:run_id>", RunView.as_view()),
    path("runs/<uuid:run_id>/cancel", CancelView.as_view()),
    path("runs/<uuid:run_id>/events", RunEventsView.as_view()),
    path("runs/<uuid:run_id>/calls/<str:call_id>", CallView.as_view()),
    path("runs/<uuid:run_id>/audit", RunAuditView.as_view()),
    path("datasets", DatasetsView.as_view()),
    path("datasets/<uuid:dataset_id>", DatasetView.as_view()),
    path("charts/<uuid:chart_id>.svg", ChartView.as_view()),
]
