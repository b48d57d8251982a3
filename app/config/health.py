"""Whether this process can serve: the address that the container's health check and Ansible ask."""

import logging
from http import HTTPStatus

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from accounts.models import User

logger = logging.getLogger(__name__)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Answer 200 when the database answers, 503 otherwise; the reason goes to the log."""
    try:
        # A table of ours: SQLite would answer SELECT 1 without a database file.
        User.objects.exists()
    except DatabaseError as error:
        logger.error("the database does not answer: %s", error)  # noqa: TRY400 - one line is enough
        return JsonResponse(
            {"status": "unavailable", "database": "down"}, status=HTTPStatus.SERVICE_UNAVAILABLE
        )
    return JsonResponse({"status": "ok", "database": "up"})
