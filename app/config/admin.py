"""The admin's site: people sign in on the one page that counts wrong passwords."""

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.authentication import login_redirect


class Site(AdminSite):
    """Django's site, without a page of its own to sign in."""

    site_header = "Upload administration"
    site_title = "Upload administration"
    index_title = "Administration"

    def login(
        self,
        request: HttpRequest,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - of Django's
    ) -> HttpResponse:
        """Send whoever is not signed in to the page for that, and back."""
        index = reverse("admin:index")
        if self.has_permission(request):
            return redirect(index)
        if request.user.is_authenticated:
            raise PermissionDenied
        return login_redirect(request.GET.get("next", index))
