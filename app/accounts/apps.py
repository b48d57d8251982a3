"""The accounts application."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, API tokens and signed-in browsers."""

    name = "accounts"

    def ready(self) -> None:
        """Listen for browsers that sign in."""
        from accounts import browsers  # noqa: F401, PLC0415 - importing it connects the signal
