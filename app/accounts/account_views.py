"""The account page: what is used of the quota, the password, API tokens, and signed-in browsers.

For browsers alone: a token makes no tokens, and ends no sessions.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate

from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from accounts import browsers
from accounts.authentication import bearer_token, login_redirect
from accounts.forms import TokenForm
from accounts.models import ApiToken, BrowserSession, Scope, User, new_token
from config.problems import Problem, wants_page
from uploads import space


def signed_in[**P](
    view: Callable[Concatenate[HttpRequest, User, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Give a view the user of the browser; others are refused before it runs."""

    @wraps(view)
    def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if bearer_token(request) is None and request.user.is_authenticated:
            return view(request, request.user, *args, **kwargs)
        if bearer_token(request) is None and wants_page(request):
            return login_redirect(reverse("account"))
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "unauthenticated",
            "Sign in",
            "An account is managed in a browser: sign in at /accounts/login/.",
        )

    return wrapper


@require_safe
@signed_in
def account(request: HttpRequest, user: User) -> HttpResponse:
    """Show the page."""
    return _page(request, user, TokenForm(user))


class PasswordChange(PasswordChangeView):
    """Django's page to change a password: this browser stays signed in, and no other one does."""

    template_name = "accounts/password.html"
    success_url = reverse_lazy("account")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        """Change it; the session's key changes with it."""
        response = super().form_valid(form)
        browsers.record(self.request)
        browsers.end(form.user, but=self.request.session.session_key)
        messages.success(
            self.request,
            "The password is changed, and every other browser is signed out. API tokens go on.",
        )
        return response


@sensitive_post_parameters()
@signed_in
def change_password(request: HttpRequest, user: User) -> HttpResponseBase:  # noqa: ARG001
    """Ask for the old password and a new one."""
    return PasswordChange.as_view()(request)


@sensitive_variables("text")
@signed_in
def tokens(request: HttpRequest, user: User) -> HttpResponse:
    """Make a token, and show its text on this one answer."""
    if request.method != "POST":
        return redirect("account")
    form = TokenForm(user, request.POST)
    if not form.is_valid():
        return _page(request, user, form, status=HTTPStatus.BAD_REQUEST)
    said = form.cleaned_data
    text = new_token()
    try:
        with transaction.atomic():
            token = ApiToken.objects.add(
                user, said["name"], text, said.get("expires"), Scope(said["scope"])
            )
    except IntegrityError:
        # The same form a moment ago.
        return redirect("account")
    return _page(request, user, TokenForm(user), made=token, text=text)


@require_POST
@signed_in
def revoke_token(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    """Withdraw a token."""
    token = ApiToken.objects.filter(owner=user, pk=pk).first()
    if token is None:
        raise Http404
    ApiToken.objects.filter(pk=pk).revoke()
    messages.success(request, f"The token {token.name} is revoked.")
    return redirect("account")


@require_POST
@signed_in
def end_session(request: HttpRequest, user: User, pk: int) -> HttpResponse:
    """Sign one browser out."""
    if not browsers.end(user, pk=pk):
        raise Http404
    messages.success(request, "The browser is signed out.")
    return redirect("account")


@require_POST
@signed_in
def end_other_sessions(request: HttpRequest, user: User) -> HttpResponse:
    """Sign every browser out but this one."""
    count = browsers.end(user, but=request.session.session_key)
    messages.success(request, f"Signed out: {count} other browser{'' if count == 1 else 's'}.")
    return redirect("account")


@sensitive_variables("text")
def _page(  # noqa: PLR0913 - what the page can show
    request: HttpRequest,
    user: User,
    form: TokenForm,
    *,
    made: ApiToken | None = None,
    text: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> HttpResponse:
    usage = space.usage(user)
    response = render(
        request,
        "accounts/account.html",
        {
            "usage": usage,
            "tokens": ApiToken.objects.filter(owner=user).order_by("-created", "-id"),
            "browsers": BrowserSession.objects.filter(
                user=user, session__expire_date__gt=timezone.now()
            ),
            "this_browser": request.session.session_key,
            "form": form,
            "made": made,
            "text": text,
        },
        status=status,
    )
    response.headers["Cache-Control"] = "no-store"
    return response
