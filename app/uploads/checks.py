"""System checks: directories and limits that would fail only at the first upload."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004

_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^\sA-Z/*]+")


def _directories() -> dict[str, Path]:
    return {
        "UPLOAD_INCOMING_DIR": settings.UPLOAD_INCOMING_DIR,
        "UPLOAD_FILES_DIR": settings.UPLOAD_FILES_DIR,
    }


@register("uploads")
def check_directories(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Both directories exist, can be written, and are one file system."""
    found: list[CheckMessage] = []
    for variable, path in _directories().items():
        if not path.is_dir():
            found.append(
                Error(
                    f"{variable} is {path}, which is no directory.",
                    hint="Create it (mode 2770, the service's uid and gid), or mount the volume.",
                    id="uploads.E001",
                )
            )
        elif not os.access(path, os.W_OK | os.X_OK):
            found.append(
                Error(
                    f"{variable} is {path}, which uid {os.geteuid()} cannot write.",
                    hint="Give it the service's uid and gid and mode 2770.",
                    id="uploads.E002",
                )
            )
    if not found and len({path.stat().st_dev for path in _directories().values()}) > 1:
        found.append(
            Error(
                "UPLOAD_INCOMING_DIR and UPLOAD_FILES_DIR are on different file systems.",
                hint="Put both on one: an upload is finished by a rename, never by a copy."
                " In containers, mount their common parent as one volume.",
                id="uploads.E003",
            )
        )
    return found


@register("uploads")
def check_limits(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """The limits leave room for an upload on this file system."""
    incoming = settings.UPLOAD_INCOMING_DIR
    if not incoming.is_dir():
        return []
    status = os.statvfs(incoming)
    capacity = status.f_blocks * status.f_frsize
    if capacity <= settings.UPLOAD_RESERVE_BYTES:
        return [
            Error(
                f"UPLOAD_RESERVE_BYTES is {settings.UPLOAD_RESERVE_BYTES}, and the file system of"
                f" {incoming} has {capacity} bytes: no upload would ever fit.",
                hint="Lower UPLOAD_RESERVE_BYTES, or use a larger file system.",
                id="uploads.E004",
            )
        ]
    if capacity - settings.UPLOAD_RESERVE_BYTES < settings.UPLOAD_MAX_SIZE:
        return [
            Warning(
                f"UPLOAD_MAX_SIZE is {settings.UPLOAD_MAX_SIZE}, more than the file system of"
                f" {incoming} can hold beside UPLOAD_RESERVE_BYTES"
                f" ({capacity - settings.UPLOAD_RESERVE_BYTES} bytes).",
                hint="Lower UPLOAD_MAX_SIZE, or use a larger file system.",
                id="uploads.W001",
            )
        ]
    return []


@register("uploads")
def check_origins(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Each origin is written as browsers send it: any other spelling would never match."""
    return [
        Error(
            f"UPLOAD_CORS_ORIGINS has {origin!r}, which no browser sends as its origin.",
            hint="Write scheme and host, and a port if it is not the usual one, in lower case and"
            " with nothing behind: https://portal.example.com; or * for all origins.",
            id="uploads.E006",
        )
        for origin in settings.UPLOAD_CORS_ORIGINS
        if not _ORIGIN.fullmatch(origin)
    ]


@register("uploads")
def check_variables(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """No variable has a misspelt name, which would leave its default in force."""
    return [
        Warning(
            f"The environment has {name}, which nothing reads.",
            hint="Correct its name or remove it; app/README.md lists the variables.",
            id="uploads.W002",
        )
        for name in settings.ENVIRONMENT.unknown()
    ]


@register("uploads", deploy=True)
def check_static_files(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    """The static files are collected: without their manifest no page can be rendered."""
    manifest = Path(settings.STATIC_ROOT) / "staticfiles.json"
    if os.access(manifest, os.R_OK):
        return []
    return [
        Error(
            f"{manifest} cannot be read.",
            hint="Run `manage.py collectstatic --noinput` with UPLOAD_STATIC_DIR writable.",
            id="uploads.E005",
        )
    ]
