"""The process environment, read once: every variable with its type, default and meaning."""

from pathlib import Path
from typing import Annotated, Literal

from django.core.exceptions import ImproperlyConfigured
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent

CommaSeparated = Annotated[list[str], NoDecode]

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
LEAST_MEMORY_MB = 512
"""Less leaves a worker no room beside the program itself."""


class Environment(BaseSettings):
    """What operators set from outside; `.env.example` lists the same variables."""

    model_config = SettingsConfigDict(env_file=BASE_DIR / ".env", extra="ignore", case_sensitive=True)

    DATABASE_URL: str = ""
    """`postgresql://…`; empty: the PostgreSQL bundled with the project, data below `NETRA_DATA_DIR`."""
    REDIS_URL: str = ""
    """`redis://…`, `rediss://…` or `unix://…`, for more than one process; empty: one process, in memory."""
    SECRET_KEY: str = ""
    """At least 50 random characters; required when `DEBUG` is off."""
    DEBUG: bool = False
    """Development mode: a built-in secret key, cookies without TLS, demo data allowed."""
    ALLOWED_HOSTS: CommaSeparated = Field(default=["localhost", "127.0.0.1", "[::1]"])
    """Host names this server answers to, comma-separated."""
    CSRF_TRUSTED_ORIGINS: CommaSeparated = Field(default=[])
    """Origins (`https://chat.example.org`) allowed to post and to open sockets, comma-separated."""
    NETRA_MODEL: str = Field(default="offline", min_length=1)
    """`offline`, or a Pydantic AI model string such as `openai:gpt-4o`."""
    NETRA_MODELS: CommaSeparated = Field(default=[])
    """Models besides `NETRA_MODEL` that users, tenants and tiers may prefer, comma-separated."""
    NETRA_ISOLATION_LEVEL: Literal["strict", "permissive"] = "strict"
    """At a breach between users' contexts: `strict` blocks, `permissive` copies the value; both record it."""
    NETRA_DATA_DIR: Path = BASE_DIR / "var"
    """Folder of the bundled PostgreSQL and of the imported datasets."""
    NETRA_MAX_UPLOAD_MB: int = Field(default=100, ge=1, le=10_000)
    """Largest file taken in one upload, in megabytes (10**6 bytes)."""
    NETRA_MAX_CONTEXTS: int = Field(default=10_000, ge=100, le=1_000_000)
    """Execution contexts that one process holds at most; each socket, request and run takes one."""
    NETRA_WORKER_CONCURRENCY: int = Field(default=16, ge=1, le=1_000)
    """Runs that one worker carries out at the same time."""
    NETRA_DATABASE_POOL: int = Field(default=20, ge=4, le=1_000)
    """Database connections of one process, at most, in each of its two pools (sync and async)."""
    NETRA_STALLED_AFTER_S: int = Field(default=20, ge=2, le=3_600)
    """Seconds without a heartbeat after which a worker counts as dead and its runs move."""
    NETRA_STOP_GRACE_S: int = Field(default=10, ge=1, le=3_600)
    """Seconds that steps of runs have to end in when their worker is told to stop."""
    NETRA_LOOP_STALL_S: float = Field(default=2.0, ge=0.1, le=600)
    """Seconds for which a run's code may keep the rest of its worker from going on; then the run fails."""
    NETRA_WORKER_MEMORY_MB: int = Field(default=0, ge=0, le=100_000_000)
    """Megabytes (10**6 bytes) that a process with a worker may take, from 512; 0: 75 % of the machine's."""
    NETRA_LOG_LEVEL: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Least severe level that is logged."""

    @field_validator("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "NETRA_MODELS", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_grouped_digits(cls, value: object, field: ValidationInfo) -> object:
        kind = cls.model_fields[field.field_name or ""].annotation
        if kind in (int, float) and isinstance(value, str) and "_" in value:
            raise ValueError(f"{value!r} is no number")
        return value

    @field_validator("REDIS_URL")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        if value and not value.startswith(REDIS_SCHEMES):
            raise ValueError(f"must begin with one of {', '.join(REDIS_SCHEMES)}, or be empty")
        return value

    @field_validator("NETRA_WORKER_MEMORY_MB")
    @classmethod
    def _check_memory(cls, value: int) -> int:
        if 0 < value < LEAST_MEMORY_MB:
            raise ValueError(f"must be 0, or {LEAST_MEMORY_MB} or more")
        return value


def read_environment() -> Environment:
    """Return the validated environment.

    Raises:
        ImproperlyConfigured: naming each variable whose value cannot be used, and why.
    """
    try:
        return Environment()
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ImproperlyConfigured(f"The environment has a value that cannot be used. {problems}") from None
