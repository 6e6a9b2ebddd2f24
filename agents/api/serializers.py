"""What threads, messages, runs and datasets look like over REST, and what may be said about them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.markdown import render_markdown
from agents.models import Author, Dataset, RunStatus, Thread
from agents.waiting import CAUSES, Cause
from contexts.api.amounts import format_usd
from contexts.api.parsing import RequestSerializer, TextField


class ThreadSerializer(serializers.ModelSerializer[Thread]):
    """A conversation."""

    class Meta:
        model = Thread
        fields = ("id", "title", "created_at", "updated_at")
        read_only_fields = fields


class NewThreadSerializer(RequestSerializer):
    """A conversation to begin."""

    title = TextField(required=False, default="", allow_blank=True)


class ThreadChangeSerializer(RequestSerializer):
    """A conversation's new title."""

    title = TextField(allow_blank=True)


class MessageSerializer(serializers.Serializer[Any]):
    """A question or an answer; answers also have their safe HTML and their recommendations."""

    id = serializers.UUIDField()
    author = serializers.ChoiceField(choices=Author.choices)
    text = serializers.CharField()
    html = serializers.SerializerMethodField(allow_null=True)
    recommendations = serializers.SerializerMethodField()
    run_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()

    def get_html(self, message: Any) -> str | None:
        """Return an answer's HTML as the server made it safe; none for questions."""
        html: str | None = self._answer(message).get("final_response_html")
        if html is None and message.author == Author.ASSISTANT:
            # Its run is not kept any more.
            html = render_markdown(message.text)
        return html

    def get_recommendations(self, message: Any) -> list[dict[str, Any]]:
        """Return an answer's recommendations."""
        recommendations: list[dict[str, Any]] = self._answer(message).get("recommendations", [])
        return recommendations

    def _answer(self, message: Any) -> dict[str, Any]:
        if message.author != Author.ASSISTANT:
            return {}
        answer: dict[str, Any] = self.context["answers"].get(message.run_id, {})
        return answer


class QuestionSerializer(RequestSerializer):
    """A question to the agents; `agent` names one to ask directly."""

    text = TextField(allow_blank=True, trim_whitespace=False)
    agent = TextField(required=False, allow_null=True, default=None)
    dataset_ids = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)


class StartedRunSerializer(serializers.Serializer[Any]):
    """A run that was admitted."""

    run_id = serializers.UUIDField()


class UsageSerializer(serializers.Serializer[Any]):
    """What a run used; money in US dollars."""

    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = serializers.SerializerMethodField()

    def get_cost_usd(self, run: Any) -> str:
        """Return the cost as a decimal string."""
        return format_usd(run.cost_usd)


class RunErrorSerializer(serializers.Serializer[Any]):
    """Why a run failed."""

    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")


class RunSerializer(serializers.Serializer[Any]):
    """Where a run stands."""

    id = serializers.UUIDField()
    thread_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=RunStatus.choices)
    position = serializers.SerializerMethodField(
        help_text="Of a queued run, its place in the user's line by now: 1 is next, 0 has a place."
    )
    waiting_for = serializers.SerializerMethodField(
        help_text="Of a queued run: `place`, of the user's; `turn`, a free worker; `worker`, any at all."
    )
    agent = serializers.CharField(help_text="Empty: triage decided.")
    model = serializers.CharField()
    attempt = serializers.IntegerField()
    dataset_ids = serializers.ListField(child=serializers.UUIDField())
    usage = UsageSerializer(source="*")
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_position(self, run: Any) -> int | None:
        """Return its place in line; none once it has begun."""
        position: int | None = self.context["wait"].position
        return position

    @extend_schema_field(serializers.ChoiceField(choices=CAUSES, allow_null=True))
    def get_waiting_for(self, run: Any) -> Cause | None:
        """Return what it waits for; none once it has begun."""
        cause: Cause | None = self.context["wait"].cause
        return cause

    def get_error(self, run: Any) -> dict[str, str] | None:
        """Return why the run failed; none when it did not."""
        return dict(RunErrorSerializer(run).data) if run.error_code else None


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A usage log and what is known about it."""

    notes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Dataset
        fields = (
            "id",
            "name",
            "filename",
            "format",
            "rows",
            "requests",
            "input_tokens",
            "output_tokens",
            "names_models",
            "assumed_model",
            "time_is_relative",
            "first_at",
            "last_at",
            "stored_bytes",
            "notes",
            "created_at",
        )
        read_only_fields = fields


class NewDatasetSerializer(RequestSerializer):
    """A usage log to keep: its file, what to call it, and the model to assume where it names none."""

    file = serializers.FileField()
    name = TextField(required=False, default="", allow_blank=True)
    assume_model = TextField(required=False, default="", allow_blank=True)
