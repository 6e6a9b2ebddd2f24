"""Services that come with the project, started for whoever names no other: PostgreSQL and Redis."""

from netra_site.embedded.errors import EmbeddedPostgresError, EmbeddedRedisError, EmbeddedServiceError
from netra_site.embedded.postgres import start_postgres
from netra_site.embedded.redis import start_redis

__all__ = [
    "EmbeddedPostgresError",
    "EmbeddedRedisError",
    "EmbeddedServiceError",
    "start_postgres",
    "start_redis",
]
