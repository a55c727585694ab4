"""What a part of a file says of the micrograph in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sem_train.micrographs.scale import SizeClaim


@dataclass(frozen=True)
class Finding:
    """What one source says. Keys of `instrument`: `instrument`, `beam_kev`, `working_distance_mm`, `detector`,
    `magnification`, `date`; those that are known."""

    claims: tuple[SizeClaim, ...] = ()  # the most trusted one first
    databar: slice | None = None  # rows that are no specimen
    databar_to_confirm: bool = False  # whether those rows are only there if the picture shows them
    instrument: dict[str, str] = field(default_factory=dict)
    remark: str = ""  # what was seen and not taken for a scale


NOTHING = Finding()


def joined(findings: Iterable[Finding]) -> Finding:
    """All of them as one; where two say the same thing, the first has the word."""
    findings = list(findings)
    instrument: dict[str, str] = {}
    for finding in reversed(findings):
        instrument.update(finding.instrument)
    barred = next((f for f in findings if f.databar is not None), NOTHING)
    return Finding(
        claims=tuple(claim for f in findings for claim in f.claims),
        databar=barred.databar,
        databar_to_confirm=barred.databar_to_confirm,
        instrument=instrument,
        remark=next((f.remark for f in findings if f.remark), ""),
    )
