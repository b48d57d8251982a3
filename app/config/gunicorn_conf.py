"""gunicorn behind nginx on a unix socket: `gunicorn --config python:config.gunicorn_conf`."""

import logging
import re
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http import Request
from gunicorn.http.wsgi import Response

from config import settings

wsgi_app = "config.wsgi:application"

bind = f"unix:{settings.UPLOAD_APP_SOCKET}"
umask = 0o007

worker_class = "gthread"
workers = settings.UPLOAD_APP_WORKERS
threads = settings.UPLOAD_APP_THREADS
timeout = settings.UPLOAD_APP_TIMEOUT
graceful_timeout = settings.UPLOAD_APP_TIMEOUT
keepalive = 30
# One header line may be as long as nginx lets it be.
limit_request_field_size = 16 * 1024

# Loaded once and shared in memory by the workers; no connection is opened before the fork.
preload_app = True
# The workers' heartbeat is a file: in memory, since the root file system is read-only.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a tmpfs in every container
# Its socket would need a writable home directory.
control_socket_disable = True


class QuietLogger(Logger):
    """gunicorn's logger, silent about the health check that runs every few seconds."""

    def access(
        self,
        resp: Response,
        req: Request,
        environ: MutableMapping[str, Any],
        request_time: timedelta,
    ) -> None:
        """Write one line for a request, without what opens a file to whoever reads it."""
        path = environ.get("PATH_INFO", "")
        if path != "/healthz":
            masked = {**environ, "PATH_INFO": re.sub(r"^(/+shared/+)[^/]+", r"\1-", path)}
            super().access(resp, req, masked, request_time)


logger_class = QuietLogger
accesslog = "-"
errorlog = "-"
loglevel = logging.getLevelName(logging.INFO).lower()
# The query string stays out of the log; times are added by whoever collects the lines.
access_log_format = '%({x-real-ip}i)s "%(m)s %(U)s" %(s)s %(B)sB %(M)sms'
