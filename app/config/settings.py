"""The one settings module. Every deployment uses it; what differs comes from the environment.

It fails closed: without a secret key, host names and a database there is no start, debugging cannot
be switched on, and cookies need HTTPS unless UPLOAD_INSECURE_HTTP says otherwise.
"""

import os
from pathlib import Path

from config.environment import Environment, database

BASE_DIR = Path(__file__).resolve().parent.parent
ENVIRONMENT = Environment(os.environ)

# What Django itself needs.
DEBUG = False
SECRET_KEY = ENVIRONMENT.secret("UPLOAD_SECRET_KEY", minimum=50)
ALLOWED_HOSTS = ENVIRONMENT.words("UPLOAD_ALLOWED_HOSTS")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The server's processes, and the requests that one of them works on at a time, for each of which
# the database pool has a connection. No file bytes pass here, so a few go a long way.
UPLOAD_APP_WORKERS = ENVIRONMENT.integer("UPLOAD_APP_WORKERS", 2, minimum=1, maximum=64)
UPLOAD_APP_THREADS = ENVIRONMENT.integer("UPLOAD_APP_THREADS", 8, minimum=1, maximum=256)
# Seconds after which a process that hangs is replaced, and that one may take to stop.
UPLOAD_APP_TIMEOUT = ENVIRONMENT.integer("UPLOAD_APP_TIMEOUT", 60, minimum=1, maximum=3600)
# A second generation beside the first gets a name of its own: each removes its socket at its end.
UPLOAD_APP_SOCKET = ENVIRONMENT.path("UPLOAD_APP_SOCKET", "/run/upload/app.sock")
# nginx's own socket for the application, beside that one.
UPLOAD_NGINX_SOCKET = ENVIRONMENT.path("UPLOAD_NGINX_SOCKET", "/run/upload/nginx.sock")
DATABASES = {
    "default": database(ENVIRONMENT.text("UPLOAD_DATABASE_URL"), pool_size=UPLOAD_APP_THREADS)
}

# Where files lie. The first two are one file system, so that finishing an upload is a rename.
UPLOAD_INCOMING_DIR = ENVIRONMENT.path("UPLOAD_INCOMING_DIR", "/srv/upload/incoming")
UPLOAD_FILES_DIR = ENVIRONMENT.path("UPLOAD_FILES_DIR", "/srv/upload/files")

# Bytes that one file, and one request without its multipart overhead, may have; 0 is no limit.
UPLOAD_MAX_SIZE = ENVIRONMENT.integer("UPLOAD_MAX_SIZE", 0)
# Bytes that part headers and plain fields may make a body longer than its file.
UPLOAD_FORM_OVERHEAD = ENVIRONMENT.integer("UPLOAD_FORM_OVERHEAD", 1024**2)
# Bytes of free space that uploads never use, so that the database and the logs go on.
UPLOAD_RESERVE_BYTES = ENVIRONMENT.integer("UPLOAD_RESERVE_BYTES", 1024**3)
# Bytes that all files of one user may have; 0 is no limit. A user's own quota goes before it.
UPLOAD_QUOTA = ENVIRONMENT.integer("UPLOAD_QUOTA", 0)
# Seconds without news after which an unfinished upload is removed.
UPLOAD_EXPIRY = ENVIRONMENT.integer("UPLOAD_EXPIRY", 7 * 86400, minimum=60)
# Origins whose pages may upload to /files/ with a token, `*` for all of them; nobody by default.
UPLOAD_CORS_ORIGINS = ENVIRONMENT.words("UPLOAD_CORS_ORIGINS", "")
# Seconds from authorize to complete: 50 GB at 1 Mbit/s takes four and a half days.
UPLOAD_GRANT_MAX_AGE = ENVIRONMENT.integer("UPLOAD_GRANT_MAX_AGE", 7 * 86400, minimum=60)

INSTALLED_APPS = [
    "accounts",
    "uploads",
    "monitoring",
    "config.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.middleware.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SeenBrowsers",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "uploads.history.CurrentRequest",
    "config.middleware.Problems",
]
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
            ],
        },
    },
]

# Accounts.
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "upload"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# nginx stands in front, sets X-Forwarded-Proto on every request and drops the client's own.
UPLOAD_INSECURE_HTTP = ENVIRONMENT.boolean("UPLOAD_INSECURE_HTTP", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = not UPLOAD_INSECURE_HTTP
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = ENVIRONMENT.integer("UPLOAD_HSTS_SECONDS", 30 * 86400)
if UPLOAD_INSECURE_HTTP:
    SECURE_HSTS_SECONDS = 0
SESSION_COOKIE_SECURE = not UPLOAD_INSECURE_HTTP
CSRF_COOKIE_SECURE = not UPLOAD_INSECURE_HTTP
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
# Whether the other names of this domain have HTTPS, and whether it goes on the browsers' preload
# list, is not for one application on one name to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# The largest request that Django reads is the form of /complete/: six small fields for each of a
# thousand files, and as many plain fields. File bytes are never read here, so no handler is needed.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024**2
FILE_UPLOAD_HANDLERS: list[str] = []

# nginx serves the collected files; the manifest beside them maps each name to its hashed one.
STATIC_URL = "/static/"
STATIC_ROOT = ENVIRONMENT.path("UPLOAD_STATIC_DIR", "/srv/static")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o640
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o2770

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = ENVIRONMENT.text("UPLOAD_TIME_ZONE", "UTC")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Without its own handlers, so that each event is one line, in the log and nowhere else.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # A client's own mistakes stand in the access log.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
