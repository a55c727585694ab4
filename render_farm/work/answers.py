"""What a renderer says to its task; in a module of their own, so that both name these classes alike."""

from dataclasses import dataclass

from blender_gen.sample import Header, Sample


@dataclass(frozen=True)
class Ready:
    """The renderer is up; this is what its samples share."""

    header: Header


@dataclass(frozen=True)
class Made:
    """A sample and the seconds that it took."""

    sample: Sample
    seconds: float


@dataclass(frozen=True)
class Refused:
    """The sample cannot be made; another attempt would end in the same way."""

    problem: str


@dataclass(frozen=True)
class Failed:
    """The sample was not made this time. The renderer ends: who knows what state Blender is in."""

    problem: str


@dataclass(frozen=True)
class Unfit:
    """This machine cannot render as asked, whichever sample."""

    problem: str


Answer = Ready | Made | Refused | Failed | Unfit
