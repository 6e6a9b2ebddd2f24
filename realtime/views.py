"""The chat page: a shell that the browser's modules fill through REST and the socket."""

from typing import cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from contexts.exceptions import PermissionDeniedError
from contexts.models import User
from contexts.selectors import standing_of
from realtime.protocol import MAX_TEXT_LENGTH

SUGGESTED_MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-5",
    "gpt-5-mini",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
)
"""Names offered where a log names no model; any other name that has a list price may be typed."""

SUGGESTED_QUESTIONS = (
    "Where does our AI spend go, and how do we cut it?",
    "Which hours are the busiest, and what do they cost?",
    "What would the same traffic cost on cheaper models?",
    "How much would we save if half of the requests could wait for batch processing?",
)
"""First questions, offered in an empty conversation."""


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def chat_page(request: HttpRequest) -> HttpResponse:
    """Show the chat page, which holds only the user's name; without an organisation, say so instead."""
    try:
        standing_of(cast(User, request.user).id)
    except PermissionDeniedError:
        return render(request, "realtime/no_organisation.html")
    return render(
        request,
        "realtime/chat.html",
        {
            "max_text_length": MAX_TEXT_LENGTH,
            "max_upload_bytes": settings.MAX_UPLOAD_BYTES,
            "suggested_models": SUGGESTED_MODELS,
            "suggested_questions": SUGGESTED_QUESTIONS,
        },
    )
