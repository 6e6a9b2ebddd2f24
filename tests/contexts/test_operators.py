"""What operators do: each refusal, and that members hear of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from contexts.exceptions import ConflictError, InvalidRequestError
from contexts.models import EntryKind, QuotaEntry
from contexts.operators import reset_quota
from contexts.scope import system_scope
from contexts.signals import quotas_changed
from contexts.windows import EPOCH, window_start
from tests.contexts.admin.pages import Member
from tests.factories import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Iterator[Cast]:
    with system_scope("test"):
        yield make_cast()


@pytest.mark.django_db(transaction=True)
def test_the_member_hears_of_a_reset_once_it_is_done() -> None:
    cast = make_cast()
    Member(cast.carol, cast.globex).use(tokens=5)
    heard: list[Any] = []

    def hear(sender: Any, **values: Any) -> None:
        values.pop("signal")
        heard.append((values, Member(cast.carol, cast.globex).used("tokens")))

    now = timezone.now()
    quotas_changed.connect(hear)
    try:
        with system_scope("test"):
            reset_quota(
                actor=cast.alice,
                tenant_id=cast.globex.pk,
                user_id=cast.carol.pk,
                resource="tokens",
                began_at=window_start("day", now=now),
                reason="x",
                now=now,
            )
    finally:
        quotas_changed.disconnect(hear)
    who = {"user_id": cast.carol.pk, "tenant_id": cast.globex.pk}
    assert heard == [({**who, "resources": ("tokens",)}, 0)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resource": "storage_bytes"}, InvalidRequestError),
        ({"resource": "wishes"}, InvalidRequestError),
        ({"reason": " "}, InvalidRequestError),
        ({"began_at": EPOCH}, ConflictError),
        ({"resource": "messages", "began_at": None}, ConflictError),
    ],
)
def test_the_service_refuses_what_is_no_reset(cast: Cast, changes: dict[str, Any], error: Any) -> None:
    now = timezone.now()
    Member(cast.carol, cast.globex).use(tokens=5)
    values = {"resource": "tokens", "reason": "x", "began_at": window_start("day", now=now)} | changes
    values["began_at"] = values["began_at"] or window_start("minute", now=now)
    with pytest.raises(error):
        reset_quota(actor=cast.alice, tenant_id=cast.globex.pk, user_id=cast.carol.pk, now=now, **values)
    assert not QuotaEntry.objects.filter(kind=EntryKind.RESET).exists()
