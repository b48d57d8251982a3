"""What may still be done with an upload, by its state; the refusals are uploads/refusals.py's."""

from django.utils import timezone

from uploads.models import ENDED, State, Upload
from uploads.refusals import AlreadyComplete, Failed, Gone, IsPart, Joined, Unfinished


def require_remembered(upload: Upload) -> None:
    """Check that an upload is not over. Problem: `Gone`."""
    state = State(upload.state)
    if state is State.JOINED and upload.joined_to is not None:
        raise Joined(upload.joined_to.get_resource_url())
    if state in ENDED:
        raise Gone(state)
    if state in {State.RECEIVING, State.PART} and upload.is_overdue(timezone.now()):
        raise Gone(State.EXPIRED)


def require_open(upload: Upload) -> None:
    """Check that bytes may be appended. Problem: `Gone` or `AlreadyComplete`."""
    require_remembered(upload)
    require_sound(upload)
    if upload.state in {State.COMPLETE, State.PART}:
        raise AlreadyComplete(upload.size)
    if upload.state == State.VERIFYING:
        raise AlreadyComplete(upload.length or 0)


def require_complete(upload: Upload) -> None:
    """Check that there is a file to be had. Problem: `Gone`, or 409 while bytes are missing."""
    require_remembered(upload)
    require_sound(upload)
    if upload.is_part:
        raise IsPart
    if upload.state != State.COMPLETE:
        raise Unfinished(State(upload.state))


def require_sound(upload: Upload) -> None:
    """Check that an upload can become a file. Problem: `Failed`."""
    if upload.state == State.FAILED:
        raise Failed(upload.failure)
