"""People who sign in."""

from django.contrib.auth.models import AbstractUser
from django.db import models

from contexts.identifiers import new_id
from contexts.models.preferences import StatedPreferences


class User(AbstractUser, StatedPreferences):
    """A person or operator; what they may use follows from their membership in a tenant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
