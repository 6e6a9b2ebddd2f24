"""Writes: conversations."""

from uuid import UUID

from agents.models import Thread
from agents.models.runs import OPEN_STATUSES
from agents.selectors import runs_of, thread_of, threads_of
from contexts.audit import record_audit
from contexts.context import UserExecutionContext
from contexts.exceptions import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from contexts.scope import scope

MAX_TITLE_LENGTH = 200


def create_thread(context: UserExecutionContext, *, title: str = "") -> Thread:
    """Begin a conversation.

    Raises:
        InvalidRequestError: when the title is longer than 200 characters or holds a NUL.
        PermissionDeniedError: when the user may only look.
    """
    require_member(context)
    with scope(context):
        return Thread.objects.create(
            tenant_id=context.tenant_id, user_id=context.user_id, title=_clean_title(title)
        )


def rename_thread(context: UserExecutionContext, thread_id: UUID, *, title: str) -> Thread:
    """Give a conversation another title.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
        InvalidRequestError: when the title is longer than 200 characters or holds a NUL.
    """
    with scope(context):
        thread = thread_of(context, thread_id)
        thread.title = _clean_title(title)
        thread.save(update_fields=["title"])
        return thread


def delete_thread(context: UserExecutionContext, thread_id: UUID) -> None:
    """Delete a conversation with its runs, events and charts.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
        ConflictError: while one of its runs is under way.
    """
    with scope(context):
        thread = lock_thread(context, thread_id)
        if runs_of(context).filter(thread=thread, status__in=OPEN_STATUSES).exists():
            raise ConflictError("A run of this conversation is still under way; cancel it first.")
        thread.delete()
        record_audit(context, "thread_deleted", thread_id=str(thread_id))


def lock_thread(context: UserExecutionContext, thread_id: UUID) -> Thread:
    """Return one of the user's conversations, locked until the caller's transaction ends.

    Raises:
        NotFoundError: when it does not exist or is someone else's.
    """
    # Rows that refer to it may be written meanwhile: a run that ends waits for no run that begins.
    thread = threads_of(context).select_for_update(no_key=True).filter(id=thread_id).first()
    if thread is None:
        raise NotFoundError("There is no such conversation.")
    return thread


def require_member(context: UserExecutionContext) -> None:
    """Refuse those who may only look.

    Raises:
        PermissionDeniedError: for a viewer.
    """
    if context.role == "viewer":
        raise PermissionDeniedError("Viewers may read, but not ask or change anything.")


def _clean_title(title: str) -> str:
    cleaned = " ".join(title.split())
    if len(cleaned) > MAX_TITLE_LENGTH:
        raise InvalidRequestError(
            f"A title has at most {MAX_TITLE_LENGTH} characters; this one has {len(cleaned)}."
        )
    if "\0" in cleaned:
        raise InvalidRequestError("A title cannot contain a NUL character.")
    return cleaned
