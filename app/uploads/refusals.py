"""What an upload refuses, each kind a class: a protocol may word one in its own way.

As they are they fit tus and whoever reads problem documents.
"""

from http import HTTPStatus

from config.problems import Problem
from uploads.models import State


class OffsetConflict(Problem):
    """The client and the disk disagree on what is there."""

    def __init__(self, expected: int, provided: int) -> None:
        """Take the offset on the disk and the client's."""
        super().__init__(
            HTTPStatus.CONFLICT,
            "offset",
            "The offset is another one",
            f"{expected} bytes are here, and the request continues after {provided}."
            " Ask for the offset, and go on from there.",
            numbers={"expected": expected, "provided": provided},
        )
        self.expected = expected
        self.provided = provided


class LengthConflict(Problem):
    """The length was declared before, and differently."""

    def __init__(self, known: int, provided: int) -> None:
        """Take the length on record and the client's."""
        super().__init__(
            HTTPStatus.BAD_REQUEST,
            "length",
            "The length is another one",
            f"The upload has {known} bytes, and this request says {provided}: a length that was"
            " declared does not change. Begin a new upload.",
            numbers={"length": known, "provided": provided},
        )


class LengthExceeded(Problem):
    """The body goes on after the end of the file."""

    def __init__(self, size: int | None, length: int) -> None:
        """Take what there would be (None: nobody counted), and what was declared."""
        found = "more" if size is None else str(size)
        super().__init__(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "length-exceeded",
            "The upload is longer than it was declared",
            f"With this request there are {found} bytes, and {length} were declared. Send the rest"
            " only, or begin a new upload.",
            numbers={"length": length} if size is None else {"size": size, "length": length},
        )


class AlreadyComplete(Problem):
    """Nothing can be appended any more."""

    def __init__(self, size: int) -> None:
        """Take the bytes that the file has."""
        super().__init__(
            HTTPStatus.FORBIDDEN,
            "complete",
            "The upload is complete",
            f"All {size} bytes are here, and a finished file does not change.",
            numbers={"size": size},
        )


class Gone(Problem):
    """The upload expired or was deleted, and is still remembered."""

    def __init__(self, state: State) -> None:
        """Take how it ended."""
        super().__init__(
            HTTPStatus.GONE,
            state.value,
            f"The upload is {state.label.lower()}",
            f"This upload is {state.label.lower()}, and nothing of it is left. Begin a new one.",
        )


class Incomplete(Problem):
    """The client says that this is all, and its declared length says more."""

    def __init__(self, size: int, length: int) -> None:
        """Take what is there and what was declared."""
        super().__init__(
            HTTPStatus.BAD_REQUEST,
            "length",
            "The upload ends too early",
            f"{size} bytes are here, and {length} were declared. Send the rest.",
            numbers={"size": size, "length": length},
        )


class Unfinished(Problem):
    """There is no file yet."""

    def __init__(self, state: State) -> None:
        """Take how far it is."""
        super().__init__(
            HTTPStatus.CONFLICT,
            "unfinished",
            "The upload is under way",
            f"This upload is {state.label.lower()}: wait until it is complete.",
        )


class DigestMismatch(Problem):
    """All bytes came, and they are not those that the client announced."""

    def __init__(self, expected: str, found: str) -> None:
        """Take the SHA-256 that was announced, and the one of what came."""
        super().__init__(
            HTTPStatus.BAD_REQUEST,
            "digest",
            "The file has another digest",
            f"The SHA-256 of what came is {found}, and {expected} was announced. The upload is"
            " deleted: send the file again.",
        )


class Joined(Problem):
    """The upload was a part, and belongs to a file now."""

    def __init__(self, place: str) -> None:
        """Take the address of the file."""
        super().__init__(
            HTTPStatus.GONE,
            "joined",
            "The part is in use",
            f"This part was joined with others, to the upload at {place}. Ask there, or send the"
            " part again to use it once more.",
        )


class Failed(Problem):
    """The upload cannot become a file."""

    def __init__(self, reason: str) -> None:
        """Take what is wrong."""
        super().__init__(
            HTTPStatus.GONE,
            "failed",
            "The upload failed",
            f"This upload cannot be completed: {reason}. Send it again.",
        )


class IsPart(Problem):
    """The upload never is a file of its own."""

    def __init__(self) -> None:
        """Say what to do with it."""
        super().__init__(
            HTTPStatus.CONFLICT,
            "part",
            "The upload is a part",
            "This upload is a part of a file: join it with the others, and get the whole.",
        )


class NotJoinable(Problem):
    """One of the uploads that are to be joined cannot be, and which it is in their list."""

    def __init__(self, kind: str, title: str, number: int, detail: str) -> None:
        """Take the problem's name and title, the place in the list from 1, and the rest."""
        super().__init__(
            HTTPStatus.CONFLICT,
            kind,
            title,
            f"The upload that is number {number} of the list {detail}",
            numbers={"part": number},
        )
