"""Finding the person whose data is asked for."""

from allauth.account.models import EmailAddress

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
