"""Finding the person whose data is asked for, and who asks."""

from typing import Any

from allauth.account.models import EmailAddress
from django.db.models import Q

from contexts.command_line import system_account
from contexts.exceptions import NotFoundError
from contexts.models import User
from contexts.personal_data.holders import Subject
from contexts.scope import system_scope


def find_subject(username: str) -> Subject:
    """Return the person with this user name. Opens a system scope itself.

    Raises:
        NotFoundError: when there is none.
    """
    with system_scope("find a person's data"):
        user = User.objects.filter(username=username).first()
        if user is None:
            raise NotFoundError(f"There is no user named {username!r}.")
        addresses = EmailAddress.objects.filter(user=user).values_list("email", flat=True)
        names = (user.username, user.email, *addresses, user.get_full_name())
        return Subject(user_id=user.id, names=tuple(dict.fromkeys(name for name in names if name)))


def find_operator(name: str | None) -> dict[str, Any]:
    """Return who acts, as audit and receipts say it. Opens a system scope itself.

    `operator_id` has the id where `name` is the user name or an e-mail address of an account, because what it
    is written into outlives the account; otherwise `operator` has the name. Without a name it is that of the
    operating system's account, which is none of Netra's whatever it is called.
    """
    if not name:
        return {"operator": system_account()}
    addresses = EmailAddress.objects.filter(email__iexact=name).values("user_id")
    with system_scope("find who acts", always_audited=False):
        named = User.objects.filter(Q(username__iexact=name) | Q(email__iexact=name) | Q(id__in=addresses))
        # Names differ in capitals alone, perhaps.
        ids = {user.username: user.id for user in named.order_by("date_joined")}
    if not ids:
        return {"operator": name}
    return {"operator_id": str(ids.get(name) or next(iter(ids.values())))}
