"""Django's admin, with our site."""

from django.contrib.admin import apps


class AdminConfig(apps.AdminConfig):
    """Names the site that every registration goes to."""

    default_site = "config.admin.Site"
