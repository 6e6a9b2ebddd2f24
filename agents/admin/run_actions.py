"""The pages that ask before runs are cancelled or asked again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from agents.models import Run
from agents.models.runs import OPEN_STATUSES, WITHOUT_ANSWER
from agents.operations import cancel_run_as_operator, retry_run_as_operator
from contexts.exceptions import NetraError
from contexts.models import User
from contexts.staff_roles import CANCEL_RUNS, RETRY_RUNS

AT_ONCE = 200
"""How many runs one page acts on."""

_CONFIRMED = "confirmed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionKind:
    """Something that operators do with runs."""

    name: str
    permission: str
    statuses: tuple[str, ...]
    """What it can be done with."""
    does: Callable[..., Any]
    title: str
    question: str
    consequence: str
    done: str


CANCEL = ActionKind(
    name="cancel",
    permission=CANCEL_RUNS,
    statuses=OPEN_STATUSES,
    does=cancel_run_as_operator,
    title="Cancel runs",
    question="These runs end without an answer, those under way within a moment:",
    consequence="Their users are told that an operator cancelled them. What was used so far stays used.",
    done="cancelled",
)
RETRY = ActionKind(
    name="retry",
    permission=RETRY_RUNS,
    statuses=WITHOUT_ANSWER,
    does=retry_run_as_operator,
    title="Ask again",
    question="What these runs were asked is asked again, for their users and in their conversations:",
    consequence="Each new run counts on its user's own quota, and is refused if that is used up.",
    done="asked again",
)


class ReasonForm(forms.Form):
    """Why an operator does it."""

    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="For the audit; the tenant's owner reads it.",
    )


def action_page(
    request: HttpRequest, *, model_admin: ModelAdmin, runs: QuerySet[Run], kind: ActionKind
) -> HttpResponseBase | None:
    """Show which of `runs` it would be done with and ask; once confirmed do it, and say what came of each.

    Each is done in a transaction of its own, after that of the page.
    """
    chosen = list(runs.filter(status__in=kind.statuses).select_related("user", "tenant")[: AT_ONCE + 1])
    single = request.resolver_match is not None and "object_id" in request.resolver_match.kwargs
    back = (
        reverse("admin:agents_run_change", args=[request.resolver_match.kwargs["object_id"]])
        if single and request.resolver_match
        else request.get_full_path()
    )
    if not chosen:
        messages.warning(request, f"Nothing to do: a run that can be {kind.done} is {_or(kind.statuses)}.")
        return HttpResponseRedirect(back)
    if len(chosen) > AT_ONCE:
        messages.warning(request, f"At most {AT_ONCE} runs are {kind.done} at once; choose fewer.")
        return HttpResponseRedirect(back)
    form = ReasonForm(request.POST if _CONFIRMED in request.POST else None)
    if form.is_valid():
        reason = form.cleaned_data["reason"]
        transaction.on_commit(partial(_do, request, [run.pk for run in chosen], kind, reason))
        return HttpResponseRedirect(back)
    shown = {
        "title": kind.title,
        "opts": Run._meta,
        "kind": kind,
        "runs": chosen,
        "form": form,
        "back": back,
        "is_single": single,
        "action": request.POST.get("action", ""),
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "confirmed_name": _CONFIRMED,
    }
    return TemplateResponse(
        request, "admin/agents/run/confirm.html", model_admin.admin_site.each_context(request) | shown
    )


def _do(request: HttpRequest, run_ids: list[UUID], kind: ActionKind, reason: str) -> None:
    assert isinstance(request.user, User)
    done = 0
    for run_id in run_ids:
        try:
            result = kind.does(run_id, operator=request.user, reason=reason)
        except NetraError as error:
            text = format_html("Run {}: {}", _link(run_id), error.message)
            messages.error(request, text)
            continue
        done += 1
        if kind is RETRY and len(run_ids) == 1:
            messages.success(request, format_html("Asked again as run {}.", _link(result.run_id)))
            return
    if done:
        messages.success(request, f"{done} {'run' if done == 1 else 'runs'} {kind.done}.")


def _link(run_id: UUID) -> str:
    address = reverse("admin:agents_run_change", args=[run_id])
    return format_html('<a class="underline" href="{}">…{}</a>', address, str(run_id)[-8:])


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(map(str, words))
