"""/admin/status: the service now and over the last day, for staff. Programs get JSON."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.authentication import Identity, identified
from monitoring.measure import InFlight, Now, measure
from monitoring.models import Sample
from monitoring.plots import HEIGHT, SPAN, STEP, WIDTH, current, plots, throughput

# More are told as a number.
_SHOWN = 100


@require_safe
@identified
def status(request: HttpRequest, identity: Identity) -> HttpResponse:
    """Show the page, or tell its numbers."""
    if not identity.user.is_staff:
        raise PermissionDenied
    now = measure()
    if "application/json" in request.headers.get("Accept", ""):
        response: HttpResponse = JsonResponse(_document(now))
    else:
        response = _page(request, identity, now)
    patch_vary_headers(response, ["Accept"])
    response.headers["Cache-Control"] = "no-store"
    return response


def _page(request: HttpRequest, identity: Identity, now: Now) -> HttpResponse:
    samples = list(Sample.objects.filter(at__gt=now.at - SPAN, at__lt=now.at))
    return render(
        request,
        "monitoring/status.html",
        {
            "user": identity.user,
            "now": now,
            "plots": plots(samples, now.sample()),
            "has_samples": bool(samples),
            "uploads": now.uploads[:_SHOWN],
            "more": len(now.uploads[_SHOWN:]),
            "width": WIDTH,
            "height": HEIGHT,
            "minutes": int(STEP.total_seconds() // 60),
        },
    )


def _document(now: Now) -> dict[str, object]:
    last = Sample.objects.filter(at__lt=now.at).last()
    rates = throughput([last, now.sample()]) if last else []
    rate = current(rates, now.at)
    return {
        "at": now.at.isoformat(),
        "free": now.free,
        "reserved": now.reserved,
        "received": now.received,
        "throughput": None if rate is None else round(rate),
        "forms": now.forms,
        "uploads": [_describe(found) for found in now.uploads],
    }


def _describe(found: InFlight) -> dict[str, str | int | None]:
    upload = found.upload
    return {
        "id": str(upload.id),
        "name": upload.name,
        "owner": upload.owner.get_username(),
        "protocol": upload.protocol,
        "offset": found.offset,
        "length": upload.length,
        "since": upload.created.isoformat(),
        "last_byte": found.last_byte.isoformat() if found.last_byte else None,
    }
