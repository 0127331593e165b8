"""Django's settings, all addresses and secrets from the environment.

Without ``DATABASE_URL`` in the environment, the file that ``manage.py up`` leaves in its data directory is read, so
that a command in a second terminal finds the running service.
"""

from pathlib import Path
from typing import Any

import structlog
from environs import Env

from forum_backend.environment import read_environment
from routers.addresses import database_settings, shard_addresses

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
if not env.str("DATABASE_URL", ""):
    read_environment(Path(env.str("FORUM_DATA", str(BASE_DIR / ".data"))))

DEBUG = env.bool("DEBUG", False)
# Known to everybody: good for commands that sign nothing; forum_backend.asgi refuses to serve with it.
INSECURE_SECRET_KEY = "only-for-commands-that-need-no-secret"  # noqa: S105
SECRET_KEY = env.str("SECRET_KEY", INSECURE_SECRET_KEY)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "ninja",
    "forum_backend.commands",
    "forum_backend.data.control.accounts",
    "forum_backend.data.control.directory",
    "forum_backend.data.control.moves",
    "forum_backend.data.profiles",
    "forum_backend.data.shard",
    "forum_backend.web",
    "routers",
]

# Where each application lives: the one table that the ApplicationRouter answers from. "shards": by forum.
APPLICATION_DATABASES = {
    "accounts": "default",
    "auth": "default",
    "contenttypes": "default",
    "sessions": "default",
    "directory": "default",
    "moves": "default",
    "profiles": "profiles",
    "forums": "shards",
}
DATABASE_ROUTERS = ["routers.forum_partition.ForumPartitionRouter", "routers.application.ApplicationRouter"]
FORUM_DIRECTORY = "routers.directory.directory"

# One process has at most SERVICE_THREADS + READ_POOL_SIZE + WRITE_POOL_SIZE connections to each database.
SERVICE_THREADS = env.int("SERVICE_THREADS", 8)
SERVICE_QUEUE = env.int("SERVICE_QUEUE", 256)
READ_POOL_SIZE = env.int("READ_POOL_SIZE", 4)
WRITE_POOL_SIZE = env.int("WRITE_POOL_SIZE", 8)
# Off behind a pooler that gives each transaction another connection and does not follow prepared statements.
PREPARED_STATEMENTS = env.bool("PREPARED_STATEMENTS", True)
STATEMENT_TIMEOUT_MS = env.int("STATEMENT_TIMEOUT_MS", 10_000)

# Registrations and sign-ins from one address a minute and process; a tenth of it for one name.
SIGN_IN_ATTEMPTS_PER_MINUTE = env.int("SIGN_IN_ATTEMPTS_PER_MINUTE", 600)

SHARD_ADDRESSES: dict[str, str] = shard_addresses(env.str("SHARDS", ""))
DATABASES: dict[str, dict[str, Any]] = {
    "default": database_settings(env.str("DATABASE_URL", ""), statement_timeout_ms=STATEMENT_TIMEOUT_MS),
    "profiles": database_settings(env.str("PROFILES_DATABASE_URL", ""), statement_timeout_ms=STATEMENT_TIMEOUT_MS),
    **{
        alias: database_settings(address, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
        for alias, address in SHARD_ADDRESSES.items()
    },
}
REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6379/0")

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["forum_backend.services.passwords.Argon2Hasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

ROOT_URLCONF = "forum_backend.urls"
ASGI_APPLICATION = "forum_backend.asgi.application"
# The pages' middleware. The API lane has none: its handler is slim on purpose (ARCHITECTURE.md).
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "forum_backend.web.refusals.RefusalMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("SECURE_COOKIES", False)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Nothing inline, nothing from elsewhere; 'self' includes this site's websockets.
SECURE_CSP = {
    "default-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
}

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_REQUEST_BYTES = env.int("MAX_REQUEST_BYTES", 256 * 1024)

MOVE_BUDGET_MS = env.int("MOVE_BUDGET_MS", 150)
MOVE_RETENTION_S = env.int("MOVE_RETENTION_S", 3_600)  # how long a move can be rolled back without a copy
FAILPOINTS = env.str("FAILPOINTS", "")  # failures arranged for tests: services/failpoints.py
MOVES_PER_SHARD = env.int("MOVES_PER_SHARD", 2)  # that run at once from or to a shard, before their fences
MOVES_AT_ONCE = env.int("MOVES_AT_ONCE", 4)  # in all
MOVE_LEASE_S = env.int("MOVE_LEASE_S", 15)  # how long a move waits for a mover that says nothing any more
MOVE_WAIT_LIMIT_MS = env.int("MOVE_WAIT_LIMIT_MS", 4_000)  # how long a writer waits at a fence before it answers 503

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "structlog.stdlib.ProcessorFormatter",
            "foreign_pre_chain": [
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Without the frames' variables: they hold tokens, addresses and what people wrote.
                structlog.processors.ExceptionRenderer(
                    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
                ),
                structlog.processors.JSONRenderer(),
            ],
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", "INFO")},
}
