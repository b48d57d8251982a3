"""Who a request comes from: an API token in its header, or a signed-in browser's session."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from ipaddress import ip_address
from typing import Concatenate, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme, urlencode

from accounts.models import ApiToken, Scope, User
from config.problems import Problem, wants_page

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="upload"'}


@dataclass(frozen=True, slots=True)
class Identity:
    """A known user, and the token that said so (None: the session cookie)."""

    user: User
    token: ApiToken | None

    def require(self, *enough: Scope) -> None:
        """Check the token, as `require_scope`. Problem 403; a session is good for everything."""
        if self.token is not None:
            require_scope(self.token, *enough)


class ScopeTooSmall(Problem):
    """A valid token that is not good for this."""

    def __init__(self, token: ApiToken, *enough: Scope) -> None:
        """Take the scopes of which any would do, beside that of everything."""
        self.enough = tuple(dict.fromkeys((*enough, Scope.ALL)))
        words = " or ".join(f"'{scope.value}'" for scope in self.enough)
        super().__init__(
            HTTPStatus.FORBIDDEN,
            "scope",
            "The token is not good for this",
            f"This token has the scope '{token.scope}', and {words} is needed. Make another token"
            " on the account page, or with `manage.py create_token --scope`.",
            # As RFC 6750 says it to programs.
            headers={
                "WWW-Authenticate": f'{CHALLENGE["WWW-Authenticate"]}, error="insufficient_scope",'
                f' scope="{" ".join(scope.value for scope in self.enough)}"'
            },
        )

    def document(self) -> dict[str, str | int]:
        """Return the members, with the scope that a token for this would have."""
        return {**super().document(), "scope": self.enough[0].value}


def require_scope(token: ApiToken, *enough: Scope) -> None:
    """Check that a token's scope is one of these, or that of everything. Problem 403."""
    if Scope(token.scope) not in {*enough, Scope.ALL}:
        raise ScopeTooSmall(token, *enough)


def identify(request: HttpRequest, *enough: Scope) -> Identity | None:
    """Return who sends this request, or None. Problem 403: a token of another scope than `enough`.

    A token of everything always is; whoever names no other wants one. A token decides alone: a
    wrong one is never made up for by a cookie. Other schemes of the Authorization header are
    somebody else's, a proxy's for example, and are passed over.
    """
    text = bearer_token(request)
    if text is not None:
        token = ApiToken.objects.usable().with_text(text)
        if token is None:
            return None
        token.note_use()
        require_scope(token, *enough)
        return Identity(token.owner, token)
    if request.user.is_authenticated:
        return Identity(request.user, None)
    return None


def client_address(request: HttpRequest) -> str:
    """Return where a request comes from, as nginx says it; empty: it does not say."""
    try:
        return str(ip_address(request.headers.get("X-Real-IP", "")))
    except ValueError:
        return ""


def bearer_token(request: HttpRequest) -> str | None:
    """Return the text of the request's token, None without one."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def unauthenticated() -> Problem:
    """Return the refusal of a request from nobody; it does not tell why a token was not taken."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "unauthenticated",
        "Sign in, or send a token",
        "Send a valid token as 'Authorization: Bearer dnu_...'; `manage.py create_token` makes one."
        " People sign in at /accounts/login/.",
        headers=CHALLENGE,
    )


def login_redirect(target: str) -> HttpResponse:
    """Return a 303 to the login page that leads back to `target`, a path on this site."""
    login = resolve_url(settings.LOGIN_URL)
    if not target.startswith("/") or not url_has_allowed_host_and_scheme(target, None):
        target = resolve_url(settings.LOGIN_REDIRECT_URL)
    response = HttpResponseRedirect(f"{login}?{urlencode({'next': target})}")
    response.status_code = HTTPStatus.SEE_OTHER
    return response


def refuse_anonymous(request: HttpRequest, target: str) -> HttpResponse:
    """Send a person to the login page; raise the 401 problem for a program."""
    if wants_page(request) and bearer_token(request) is None:
        return login_redirect(target)
    raise unauthenticated()


def comes_from_our_pages(request: HttpRequest) -> bool:
    """Tell whether the browser says that one of our own pages sent this.

    For requests whose body has not been read, so that a form token cannot be seen. Sec-Fetch-Site
    is out of reach of any page's scripts; plain HTTP lacks it, and Origin or Referer must do.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    ours = f"{request.scheme}://{request.get_host()}"
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin == ours
    return request.headers.get("Referer", "").startswith(f"{ours}/")


def require_our_pages(request: HttpRequest) -> None:
    """Check where a signed-in browser sends a body from. Problem 403: from elsewhere."""
    if not comes_from_our_pages(request):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "cross-site",
            "This upload does not come from our page",
            "A signed-in browser must send it from this site's own upload page."
            " A script sends 'Authorization: Bearer dnu_...' and no cookie.",
        )


def identified[**P](
    view: Callable[Concatenate[HttpRequest, Identity, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Give a view the identity of its client; anonymous ones are refused before it runs.

    A token has to be good for reading where the request only reads, and for everything elsewhere.
    """
    return identified_with()(view)


def identified_with[**P](
    *enough: Scope,
) -> Callable[
    [Callable[Concatenate[HttpRequest, Identity, P], HttpResponse]],
    Callable[Concatenate[HttpRequest, P], HttpResponse],
]:
    """Do the same as `identified`, for tokens of these scopes as well."""

    def decorator(
        view: Callable[Concatenate[HttpRequest, Identity, P], HttpResponse],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            usual = Scope.READ if request.method in SAFE_METHODS else Scope.ALL
            identity = identify(request, usual, *enough)
            if identity is None:
                return refuse_anonymous(request, request.get_full_path())
            return view(request, identity, *args, **kwargs)

        return wrapper

    return decorator
