"""Users and tokens in Django's admin. A token's text is shown nowhere: it is not kept."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from accounts.models import ApiToken, User


@admin.register(User)
class QuotaUserAdmin(UserAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Django's own page of a user, with the quota."""

    fieldsets = (*(UserAdmin.fieldsets or ()), ("Uploads", {"fields": ("quota",)}))


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Tokens can be looked at, limited and revoked here; `create_token` makes them."""

    list_display = ("name", "owner", "created", "last_used", "expires", "revoked")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    fields = ("owner", "name", "created", "last_used", "expires", "revoked")
    readonly_fields = ("owner", "created", "last_used")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: the text of a token made here could not be shown once and forgotten."""
        return False
