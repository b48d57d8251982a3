"""Uploads in Django's admin, to look at: records say what was received, and stay so."""

from django.contrib import admin
from django.http import HttpRequest

from uploads.models import Upload


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Read-only."""

    list_display = ("name", "owner", "size", "state", "protocol", "created")
    list_select_related = ("owner",)
    list_filter = ("state", "protocol")
    search_fields = ("name", "sha256", "owner__username")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: only nginx receives files."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:  # noqa: ARG002
        """Refuse: a record says what was received."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:  # noqa: ARG002
        """Refuse: the file would stay behind without its record."""
        return False
