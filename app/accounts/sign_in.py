"""Passwords: how often one may be wrong, whether a person or a program sends it.

Failures stand in the database, so that every process counts the same, also after a restart.
"""

from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, cast

from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables

from accounts.authentication import client_address
from accounts.models import SignInFailure, User
from config.problems import Problem

# Failures that one address may have with one name, and with all, within the time.
FAILURES_OF_NAME: Final = 5
FAILURES_OF_ADDRESS: Final = 50
FAILURE_TIME: Final = timedelta(minutes=5)

_SALT: Final = "accounts.sign_in"


class TooManyFailures(Problem):
    """No password is looked at for a while."""

    def __init__(self) -> None:
        """Say how long."""
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too-many-failures",
            "Too many wrong passwords",
            "Wait for five minutes, and try again.",
            headers={"Retry-After": str(int(FAILURE_TIME.total_seconds()))},
        )


@sensitive_variables("password")
def check_password(request: HttpRequest, username: str, password: str) -> User | None:
    """Return the user whose name and password these are, or None. Problem: `TooManyFailures`.

    The failure is counted before the password is looked at, so that guesses in parallel are, too.
    """
    now = timezone.now()
    SignInFailure.objects.filter(at__lte=now - FAILURE_TIME).delete()
    address = client_address(request)
    digest = salted_hmac(_SALT, username, algorithm="sha256").hexdigest()
    failure = SignInFailure.objects.create(address=address, name_digest=digest)
    of_address = SignInFailure.objects.filter(address=address)
    of_name = of_address.filter(name_digest=digest)
    if of_name.count() > FAILURES_OF_NAME or of_address.count() > FAILURES_OF_ADDRESS:
        # Whoever keeps asking does not wait for longer.
        failure.delete()
        raise TooManyFailures
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        return None
    of_name.delete()
    return user


class SignInForm(AuthenticationForm):
    """Django's form, with the limit."""

    def clean(self) -> dict[str, Any]:
        """Find the user of the name and the password."""
        username = self.cleaned_data.get("username")
        password = self.cleaned_data.get("password")
        if username is not None and password:
            # The view that makes the form gives it its request.
            request = cast("HttpRequest", self.request)
            try:
                user = check_password(request, username, password)
            except TooManyFailures as problem:
                message = f"{problem.title}. {problem.detail}"
                raise ValidationError(message, code=problem.kind) from problem
            if user is None:
                raise self.get_invalid_login_error()
            self.confirm_login_allowed(user)
            self.user_cache = user
        return self.cleaned_data


class SignIn(LoginView):
    """Django's page to sign in, with the limit."""

    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again, with the status of what was wrong."""
        response = super().form_invalid(form)
        problem = TooManyFailures()
        if form.has_error("__all__", problem.kind):
            response.status_code = problem.status
            for name, value in problem.headers.items():
                response.headers[name] = value
        return response
