"""The settings of the servers that tests start: the project's own, with passwords that cost nothing."""

from netra_site.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
