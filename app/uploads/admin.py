"""Uploads in Django's admin, to look at and to delete with their files: a record stays as it is."""

from typing import Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from config.problems import Problem
from uploads import ending, service
from uploads.models import UNFINISHED, State, Upload
from uploads.templatetags.sizes import human_size

# Before files are deleted, so many of them are named.
_NAMED: Final = 20


@admin.register(Upload)
class UploadAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Read-only, but for the action that ends uploads."""

    list_display = ("name", "owner", "bytes", "arrived", "state", "protocol", "created")
    list_select_related = ("owner",)
    list_filter = (
        "state",
        "protocol",
        "created",
        ("owner", admin.RelatedOnlyFieldListFilter),
    )
    search_fields = ("name", "sha256", "owner__username")
    show_full_result_count = False
    actions = ("delete_files",)

    @admin.display(description="size", ordering="size")
    def bytes(self, upload: Upload) -> str:
        """Say the size of the file, or what was declared."""
        size = upload.length if upload.state in UNFINISHED else upload.size
        return "not known" if size is None else human_size(size)

    @admin.display(description="received so far")
    def arrived(self, upload: Upload) -> str:
        """Say how much of one in flight is there; it stands on the disk."""
        return human_size(service.arrived(upload)) if upload.state == State.RECEIVING else ""

    @admin.action(description="Delete the selected uploads and their files", permissions=["end"])
    def delete_files(self, request: HttpRequest, uploads: QuerySet[Upload]) -> HttpResponse | None:
        """Ask, and then end each as its owner would; the records stay for a while."""
        chosen = list(uploads.select_related("owner"))
        if "confirmed" not in request.POST:
            return self._ask(request, chosen)
        ended = []
        for upload in chosen:
            try:
                ending.terminate(upload)
            except Problem as problem:
                self.message_user(request, f"{upload.name}: {problem.detail}", messages.WARNING)
            else:
                ended.append(upload.pk)
        self.log_deletions(request, Upload.objects.filter(pk__in=ended))
        self.message_user(request, f"Deleted: {len(ended)}.", messages.SUCCESS)
        return None

    def _ask(self, request: HttpRequest, uploads: list[Upload]) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/uploads/upload/delete_files.html",
            {
                **self.admin_site.each_context(request),
                "title": "Delete uploads",
                "opts": self.opts,
                "uploads": uploads,
                "shown": uploads[:_NAMED],
                "more": len(uploads[_NAMED:]),
                "size": sum(upload.size for upload in uploads),
                "back": request.get_full_path(),
            },
        )

    def has_end_permission(self, request: HttpRequest) -> bool:
        """Allow the action to who may delete uploads."""
        return request.user.has_perm("uploads.delete_upload")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: only nginx receives files."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:  # noqa: ARG002
        """Refuse: a record says what was received."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:  # noqa: ARG002
        """Refuse: the file would stay behind without its record."""
        return False
