"""Users and tokens in Django's admin. A token's text is shown nowhere: it is not kept."""

from typing import Final

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db.models import F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone

from accounts import browsers
from accounts.models import ApiToken, ApiTokenQuerySet, User
from uploads import space
from uploads.models import KEPT, Upload
from uploads.templatetags.sizes import human_size

# What the list adds to each user.
_USED: Final = "used_bytes"


@admin.register(User)
class QuotaUserAdmin(UserAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Django's own page of a user, with the quota and what is used of it."""

    fieldsets = (*(UserAdmin.fieldsets or ()), ("Uploads", {"fields": ("quota",)}))
    list_display = ("username", "email", "is_active", "is_staff", "limit", "used", "last_login")
    list_filter = (
        "is_active",
        "is_staff",
        "is_superuser",
        ("quota", admin.EmptyFieldListFilter),
        "last_login",
    )
    show_full_result_count = False
    actions = ("deactivate",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Add the bytes of each user's files."""
        files = Upload.objects.filter(owner=OuterRef("pk"), state__in=KEPT).order_by()
        total = files.values("owner").annotate(total=Sum("size")).values("total")
        users: QuerySet[User] = super().get_queryset(request)
        return users.annotate(**{_USED: Coalesce(Subquery(total), 0)})

    @admin.display(description="quota", ordering="quota")
    def limit(self, user: User) -> str:
        """Say the quota in words; one of the service's own is said to be that."""
        quota = space.quota_of(user)
        words = "none" if quota is None else human_size(quota)
        return f"{words}, as for all" if user.quota is None else words

    @admin.display(description="used", ordering=_USED)
    def used(self, user: User) -> str:
        """Say what the files have."""
        total: int = getattr(user, _USED)
        return human_size(total)

    @admin.action(description="Deactivate the selected users", permissions=["change"])
    def deactivate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Shut users out: passwords, tokens and browsers. Their files stay."""
        chosen = users.filter(is_active=True).exclude(username=request.user.get_username())
        done = list(chosen)
        for user in done:
            User.objects.filter(pk=user.pk).update(is_active=False)
            browsers.end(user)
            self.log_change(request, user, "Deactivated.")
        words = f"Deactivated: {len(done)}. Their tokens do nothing, and their files stay."
        self.message_user(request, words, messages.SUCCESS if done else messages.WARNING)


class StateFilter(admin.SimpleListFilter):
    """Whether a token can be used, and why not."""

    title = "state"
    parameter_name = "state"

    def lookups(
        self,
        request: HttpRequest,  # noqa: ARG002 - of Django's
        model_admin: admin.ModelAdmin,  # type: ignore[type-arg]  # noqa: ARG002
    ) -> list[tuple[str, str]]:
        """Return the states."""
        return [("usable", "in force"), ("expired", "expired"), ("revoked", "revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> QuerySet[ApiToken]:  # noqa: ARG002
        """Return the tokens of the state that was chosen."""
        now = timezone.now()
        open_ended = Q(expires=None) | Q(expires__gt=now)
        return {
            "usable": queryset.filter(open_ended, revoked=None, owner__is_active=True),
            "expired": queryset.filter(expires__lte=now, revoked=None),
            "revoked": queryset.exclude(revoked=None),
        }.get(self.value() or "", queryset)


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Tokens can be looked at, limited and revoked here; their owners make them."""

    list_display = ("name", "owner", "scope", "created", "last_used", "expires", "revoked")
    list_select_related = ("owner",)
    list_filter = (StateFilter, "scope", ("owner", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "owner__username")
    fields = ("owner", "name", "scope", "created", "last_used", "expires", "revoked")
    readonly_fields = ("owner", "created", "last_used")
    ordering = (F("last_used").desc(nulls_last=True), "pk")
    show_full_result_count = False
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: the text of a token made here could not be shown once and forgotten."""
        return False

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, tokens: ApiTokenQuerySet) -> None:
        """Withdraw tokens; those that are withdrawn already keep their time."""
        chosen = list(tokens.filter(revoked=None))
        count = ApiToken.objects.filter(pk__in=[token.pk for token in chosen]).revoke()
        for token in chosen:
            self.log_change(request, token, "Revoked.")
        self.message_user(request, f"Revoked: {count}.", messages.SUCCESS)
