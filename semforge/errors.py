"""The errors that semforge raises on purpose.

SemforgeError
├── DeviceAbsent      what is asked to render is not on this machine; nothing else is taken in its place
├── InputError        the user gave something that cannot be used; commands exit 2 with its message
├── Interrupted       Ctrl-C or SIGTERM, and what is to be said of it; commands exit 130 with its message
└── RejectedSpecimen  a random draw gave an impossible specimen; the caller draws again
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MOST_NAMED = 10  # bad inputs in one message


class SemforgeError(Exception):
    """Base of all errors that semforge raises on purpose."""


class InputError(SemforgeError):
    """Input that cannot be used. The message is one line: what was found, what was expected, what to do."""


class Interrupted(SemforgeError):
    """The user stopped a command that has more to say of it than that what is on disk is kept. One line."""


class DeviceAbsent(SemforgeError):
    """The device that was asked for is not here. One line: what was found, what was asked for, what to do."""


class RejectedSpecimen(SemforgeError):
    """A draw that cannot be built. Not a failure: it is counted and drawn again on a child seed."""


@contextmanager
def naming(what: object) -> Iterator[None]:
    """An InputError of what is done inside begins with `what`, a file as a rule, where it does not already."""
    try:
        yield
    except InputError as error:
        said = str(error)
        raise InputError(said if said.startswith(f"{what}: ") else f"{what}: {said}") from error


def refuse_bad(problems: Sequence[str], total: int, what: str) -> None:
    """Raise InputError that names all bad ones of `total`, the first `MOST_NAMED` of them with what is wrong.

    `what` they are, in the plural. Nothing happens where there are none.
    """
    if len(problems) == 1:
        raise InputError(problems[0])
    if problems:
        named = " ".join(f"({i}) {problem}" for i, problem in enumerate(problems[:MOST_NAMED], start=1))
        more = f" and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise InputError(f"{len(problems)} of {total} {what} cannot be used: {named}{more}")
