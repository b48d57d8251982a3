"""The monitoring application."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Samples, and the page that shows them."""

    name = "monitoring"
