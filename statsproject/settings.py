"""Settings of Affluence. Everything that differs between machines comes from the environment."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.templatetags.static import static

from statsproject.addresses import (
    broker_at,
    database_at,
    database_of_log,
    database_of_views,
    media_index_beside,
    redis_at,
    refuse_shared,
    view_store_at,
)
from statsproject.environment import (
    env_bool,
    env_choice,
    env_directory,
    env_int,
    env_list,
    env_mail,
    env_web_address,
    secret_of,
    socket_of,
)
from statsproject.event_log import event_log_at, partition_of

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("DATA_DIR") or BASE_DIR / "data").resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)

HOST = os.environ.get("HOST") or "127.0.0.1"
PORT = env_int("PORT", 8000, at_least=1)
DEMO = env_bool("DEMO", True)
DEBUG = env_bool("DEBUG", False)
SECRET_KEY = secret_of(DATA_DIR, "SECRET_KEY")
VISITOR_KEY = secret_of(DATA_DIR, "VISITOR_KEY").encode()
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]
HTTPS = env_bool("HTTPS", False)
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 0)
# Requests a second and process (collect), a minute and process (ask); 0 is no limit.
COLLECT_RATE = env_int("COLLECT_RATE", 500)
COLLECT_KEY_RATE = env_int("COLLECT_KEY_RATE", 0)
ASK_RATE = env_int("ASK_RATE", 12_000)
ASK_FAILURE_RATE = env_int("ASK_FAILURE_RATE", 60)

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "django_celery_beat",
    "django_htmx",
    "axes",
    "statsproject",
    "events",
    "events.demo.reader",
    "speed",
    "batch",
    "views_layer",
    "insights",
]

MIDDLEWARE = [
    "statsproject.requests.RouteMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "statsproject.headers.HeadersMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "statsproject.compression.CompressionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "views_layer.pages.language.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "statsproject.requests.AwayMiddleware",
]

ROOT_URLCONF = "statsproject.urls"
WSGI_APPLICATION = "statsproject.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "views_layer.pages.language.languages",
            ]
        },
    }
]


def _sqlite(name: str, synchronous: str) -> dict:
    """A SQLite file of DATA_DIR in WAL mode; `synchronous` FULL syncs each commit; what is deleted is zeroed."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / name,
        "TEST": {"NAME": DATA_DIR / f"test_{name}"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": (
                f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};"
                "PRAGMA cache_size=-32768; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=16384;"
                "PRAGMA secure_delete=ON"
            ),
        },
    }


LOG_TABLES, _log_tables = database_of_log("EVENT_LOG_URL", "INBOX_URL", "DATABASE_URL", _sqlite("log.sqlite3", "FULL"))
# Three files, so that the writers of log, views and Django's own tables never wait for each other.
DATABASES = {
    "default": database_at("DATABASE_URL", _sqlite("affluence.sqlite3", "FULL")),
    "log": _log_tables,
    "views": database_of_views("VIEW_STORE_URL", _sqlite("views.sqlite3", "NORMAL")),
}
refuse_shared(DATABASES, {"default": "DATABASE_URL", "log": LOG_TABLES, "views": "VIEW_STORE_URL"})
DATABASE_ROUTERS = ["statsproject.routers.StoreRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

EVENT_LOG = event_log_at("EVENT_LOG_URL")
EVENT_LOG_PARTITION = partition_of("EVENT_LOG_PARTITION")
VIEW_STORE = view_store_at("VIEW_STORE_URL")
RAW_ENGINE: dict[str, Any] = {"BACKEND": "batch.engines.duck.DuckEngine", "OPTIONS": {}}
BATCH_ENGINE: dict[str, Any] = {
    "duckdb": RAW_ENGINE,
    "spark": {
        "BACKEND": "batch.engines.spark.SparkEngine",
        "OPTIONS": {"master": os.environ.get("SPARK_MASTER") or "local[*]"},
    },
}[env_choice("BATCH_ENGINE", ("duckdb", "spark"))]
ARCHIVE_DIR = env_directory("ARCHIVE_DIR", DATA_DIR / "archive")
MEDIA_INDEX = media_index_beside(VIEW_STORE)

REDIS_SOCKET = socket_of(DATA_DIR, "redis")
REDIS_URL = redis_at("REDIS_URL", f"unix://{REDIS_SOCKET}")
REDIS_TIMEOUT = env_int("REDIS_TIMEOUT", 5, at_least=1)
AMQP_URL = os.environ.get("AMQP_URL", "")
AMQP_QUEUE = os.environ.get("AMQP_QUEUE") or "affluence.events"
vars().update(broker_at("CELERY_BROKER_URL", REDIS_URL))
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_RESULT_BACKEND = None
CELERY_RESULT_EXPIRES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ROUTES = {
    "speed.tasks.*": {"queue": "speed"},
    "views_layer.tasks.*": {"queue": "batch"},
    "statsproject.tasks.*": {"queue": "alarms"},
}
CELERY_TASK_DEFAULT_QUEUE = "batch"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULER = "statsproject.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTHENTICATION_BACKENDS = ["statsproject.login.Throttle", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"

# A login is locked for a quarter of an hour after five failures of one user name from one network.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "statsproject.login.hashed_address"
AXES_LOCKOUT_CALLABLE = "statsproject.login.locked"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken", "next"]
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

# The header comes from the proxy that ends TLS: web itself speaks HTTP, and would redirect for ever.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
CSRF_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^metrics$"]
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
LANGUAGES = [("en", "English"), ("fr", "Français")]
LOCALE_PATHS = [BASE_DIR / "locale"]
APPEND_SLASH = True

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "views_layer.api.errors.answer_error",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {"TITLE": "Affluence", "VERSION": "1.0.0", "SERVE_INCLUDE_SCHEMA": False}

UNFOLD = {
    "SITE_TITLE": "Affluence",
    "SITE_HEADER": "Affluence",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SITE_SYMBOL": "waves",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("affluence.svg")}],
    "COLORS": {
        "primary": {
            "50": "oklch(97.5% .014 222)",
            "100": "oklch(94.8% .028 221)",
            "200": "oklch(90.2% .05 220)",
            "300": "oklch(83.5% .083 219)",
            "400": "oklch(75.6% .106 219)",
            "500": "oklch(62% .104 222)",
            "600": "oklch(48.5% .085 226)",
            "700": "oklch(43% .075 227)",
            "800": "oklch(37.2% .062 228)",
            "900": "oklch(32% .051 229)",
            "950": "oklch(24% .04 230)",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": True,
        "navigation": "statsproject.navigation.navigation",
    },
    "DASHBOARD_CALLBACK": "statsproject.staff.home",
    "STYLES": [lambda request: static("admin.css")],
    "SCRIPTS": [lambda request: static("admin.js")],
}

LOG_FORMAT = env_choice("LOG_FORMAT", ("line", "json"))
LOG_REQUESTS = env_bool("LOG_REQUESTS", LOG_FORMAT == "json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": "statsproject.logs.LineFormatter"},
        "json": {"()": "statsproject.logs.JsonFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # They say of each login, or request, that it was one.
    "loggers": {"axes": {"level": "WARNING"}, "elastic_transport": {"level": "WARNING"}},
}

# Who may read /metrics.
METRICS_TOKEN = secret_of(DATA_DIR, "METRICS_TOKEN")

# Where people reach the pages: what stands in mails.
PUBLIC_URL = (env_web_address("PUBLIC_URL") or f"http://{HOST}:{PORT}").rstrip("/")

# Who is told of alarms, see statsproject/alerts.py.
ALERT_EMAILS = env_list("ALERT_EMAILS")
ALERT_WEBHOOK = env_web_address("ALERT_WEBHOOK")
DEFAULT_FROM_EMAIL = os.environ.get("EMAIL_FROM") or "affluence@localhost"
vars().update(env_mail("EMAIL_URL"))
