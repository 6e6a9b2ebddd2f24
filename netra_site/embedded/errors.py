"""What goes wrong with a bundled service, each as one line that says what to do."""

from contexts.exceptions import UnavailableError


class EmbeddedServiceError(UnavailableError):
    """A bundled service cannot be started or joined."""


class EmbeddedPostgresError(EmbeddedServiceError):
    """The bundled PostgreSQL cannot be started or joined."""


class EmbeddedRedisError(EmbeddedServiceError):
    """The bundled Redis cannot be started or joined."""
