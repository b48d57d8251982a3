"""The uploads application; loading it registers its system checks."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """Uploads, from authorize to download."""

    name = "uploads"

    def ready(self) -> None:
        """Register the checks; no database is touched here, since gunicorn forks after this."""
        from uploads import checks  # noqa: F401, PLC0415 - importing registers them
