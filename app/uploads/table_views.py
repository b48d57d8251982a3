"""The list of uploads: a table for people, with search, order and pages; JSON for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from django.core.paginator import Paginator
from django.db.models import F, Func, OrderBy, Q
from django.db.models.functions import Coalesce, Lower
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.authentication import Identity, identified
from accounts.models import User
from config.problems import Problem
from uploads import service
from uploads.answers import describe, describe_progress
from uploads.models import Door, State, Upload, UploadQuerySet
from uploads.protocols import tus_headers

PAGE_SIZE: Final = 50
# Whoever has more under way has other means than a table to look at them.
UNDER_WAY_SHOWN: Final = 100
_DEFAULT_SORT: Final = "-created"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table; `url` sorts by it, the other way round if it is sorted by now."""

    key: str
    label: str
    url: str
    sorted: str


_LABELS: Final = {
    "name": "Name",
    "size": "Size",
    "sha256": "SHA-256",
    "owner": "Owner",
    "created": "Uploaded",
    "state": "State",
}
_ORDERS: Final[Mapping[str, F | Func]] = {
    "name": Lower("name"),
    # What is not a file yet has the length that it will have.
    "size": Coalesce("length", "size"),
    "sha256": F("sha256"),
    "owner": Lower("owner__username"),
    "created": F("created"),
    "state": F("state"),
}


@require_safe
@identified
def upload_table(request: HttpRequest, identity: Identity) -> HttpResponse:
    """List a user's own uploads, newest first; staff sees everybody's. Programs get JSON."""
    uploads = Upload.objects.visible_to(identity.user).select_related("owner")
    if "application/json" in request.headers.get("Accept", ""):
        response = _listing(request, identity, uploads)
    else:
        response = _table(request, identity, uploads)
    patch_vary_headers(response, ["Accept"])
    return response


def _table(request: HttpRequest, identity: Identity, uploads: UploadQuerySet) -> HttpResponse:
    user = identity.user
    columns = [key for key in _LABELS if key != "owner" or user.is_staff]
    search = request.GET.get("q", "").strip()
    sort = request.GET.get("sort", _DEFAULT_SORT)
    if sort.removeprefix("-") not in columns:
        sort = _DEFAULT_SORT
    chosen = uploads.filter(_matching(search, user)).order_by(_order(sort), "-created", "id")
    page = Paginator(chosen.complete(), PAGE_SIZE).get_page(request.GET.get("page"))
    # The others are few, and apart, so that the pages of files have an index; by their names they
    # follow what is complete.
    is_place = not page.has_next() if sort == "state" else page.number == 1
    others = list(chosen.in_the_background()) if is_place else []
    kept = {"q": search} if search else {}
    by_sort = {**kept, "sort": sort}
    context = {
        "user": user,
        "page": page,
        "rows": [*page, *others] if sort == "state" else [*others, *page],
        "search": search,
        "sort": sort if sort != _DEFAULT_SORT else "",
        "columns": [_column(key, sort, kept) for key in columns],
        "previous": _link(by_sort, page.previous_page_number()) if page.has_previous() else "",
        "next": _link(by_sort, page.next_page_number()) if page.has_next() else "",
        "back": urlencode({"next": _link(by_sort, page.number)}),
        "under_way": list(_under_way(user)) if page.number == 1 and not search else [],
    }
    return render(request, "uploads/table.html", context)


def _under_way(user: User) -> Iterator[service.Status]:
    uploads = Upload.objects.filter(owner=user).under_way(timezone.now())
    for upload in uploads[:UNDER_WAY_SHOWN]:
        yield service.status(upload)


def _matching(search: str, user: User) -> Q:
    if not search:
        return Q()
    found = Q(name__icontains=search) | Q(sha256__startswith=search.lower())
    return found | Q(owner__username__icontains=search) if user.is_staff else found


def _order(sort: str) -> OrderBy:
    expression = _ORDERS[sort.removeprefix("-")]
    return expression.desc() if sort.startswith("-") else expression.asc()


def _column(key: str, sort: str, kept: Mapping[str, str]) -> Column:
    is_descending = sort == f"-{key}"
    direction = {key: "ascending", f"-{key}": "descending"}.get(sort, "")
    other = f"-{key}" if sort == key or (not direction and key == "created") else key
    return Column(
        key=key,
        label=_LABELS[key],
        url=_link({**kept, "sort": key if is_descending else other}, 1),
        sorted=direction,
    )


def _link(query: Mapping[str, str], number: int) -> str:
    members = {key: value for key, value in query.items() if (key, value) != ("sort", "-created")}
    if number > 1:
        members["page"] = str(number)
    return f"?{urlencode(members)}"


def _listing(request: HttpRequest, identity: Identity, uploads: UploadQuerySet) -> HttpResponse:
    asked = ((key, request.GET.get(key)) for key in ("name", "sha256"))
    chosen = {key: value for key, value in asked if value}
    state = request.GET.get("state") or State.COMPLETE
    if state == State.RECEIVING:
        # What somebody else is about to send is nobody's to go on with.
        unfinished = Upload.objects.filter(owner=identity.user, is_part=False)
        uploads = unfinished.under_way(timezone.now())
    elif state == State.COMPLETE:
        uploads = uploads.complete()
    else:
        raise _no_such_list()
    page = Paginator(uploads.filter(**chosen), PAGE_SIZE).get_page(request.GET.get("page"))
    next_page = None
    if page.has_next():
        members = {**chosen, "page": str(page.next_page_number())}
        if state != State.COMPLETE:
            members["state"] = state
        next_page = f"{request.path}?{urlencode(members)}"
    tell = describe if state == State.COMPLETE else _unfinished
    found = [{**tell(request, u), "created": u.created.isoformat()} for u in page]
    return JsonResponse({"uploads": found, "next": next_page})


def _unfinished(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    """Return an upload that its owner may go on with, and what tells its file from others."""
    said = tus_headers.read_texts(upload.metadata) if upload.protocol == Door.TUS else {}
    return {**describe_progress(request, service.status(upload)), "metadata": said}


def _no_such_list() -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "state",
        "There is no list of this state",
        f"Ask for ?state={State.COMPLETE}, the finished files, or ?state={State.RECEIVING}, your"
        " own uploads that are under way.",
    )
