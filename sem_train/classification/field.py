"""One micrograph to classified particles: where they are, how large, what of, and what they are called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from sem_train.classification.composition import RESOLUTION_EV, intensities
from sem_train.classification.particle_records import ElementShare, ParticleRecord, SeenBy
from sem_train.classification.particle_spectra import ParticleSpectra
from sem_train.classification.segments import Objects
from sem_train.measure.bodies.particles import measure_particles
from sem_train.measure.bodies.single import Objects as Measured
from semforge.spectra import EnergyAxis
from semforge.spectra.spectrum import total_counts

FEWEST_COUNTS = 20  # a spectrum of fewer says nothing
BENT = 1.5  # length along a strip over its largest Feret diameter; a disc, which is none, has 0.8


@dataclass(frozen=True, eq=False)
class Answer:
    """What a classifier says of N particles."""

    probabilities: np.ndarray  # (N, k), calibrated
    rejected: np.ndarray  # (N,) bool


class Names(Protocol):
    """A trained classifier, as this module needs it."""

    classes: Sequence[str]
    axis: EnergyAxis | None  # of the spectra that it reads; None where it reads none
    sees_image: bool
    fewest_counts: int  # a spectrum with fewer above the zero peak is none

    def crops(self, image: np.ndarray, objects: np.ndarray, pixel_size_um: float | None) -> Any:
        """The pictures of all particles of a micrograph, numbered from 1 without gaps, cut as in training."""

    def answer(self, crops: Any, which: np.ndarray, spectra: np.ndarray | None) -> Answer:
        """Of the particles at positions `which`, with counts (n, C), rows of zeros where there is no spectrum."""


@dataclass(frozen=True)
class Frame:
    """How a micrograph was cut before its particles were looked for."""

    rows_above: int  # rows of the file above the specimen
    pixel_size_um: float | None


def named_particles(
    image: np.ndarray, objects: Objects, spectra: ParticleSpectra | None, classifier: Names, frame: Frame
) -> tuple[ParticleRecord, ...]:
    """The particles of a micrograph (H, W) without its databar. Where there is nothing to look at there is no name."""
    if not len(objects):
        return ()
    pixel = frame.pixel_size_um or 1.0
    measured = measure_particles(objects.numbers, pixel).objects
    spectrum, read = _readable(spectra, classifier, len(objects))
    seen = np.full(len(objects), classifier.sees_image)
    known = np.flatnonzero(seen | read)
    answer: Answer | None = None
    if len(known):
        crops = classifier.crops(image, objects.numbers, frame.pixel_size_um) if classifier.sees_image else None
        answer = classifier.answer(crops, known, None if spectrum is None else spectrum[known])
    place = {int(i): k for k, i in enumerate(known)}
    return tuple(
        _record(i, objects, measured, spectra, frame)
        .model_copy(update=_named(answer, place.get(i), classifier, bool(seen[i]), bool(read[i]), spectra, i))
        for i in range(len(objects))
    )  # fmt: skip


def volume(area: ArrayLike, feret_max: ArrayLike, feret_min: ArrayLike, perimeter: ArrayLike) -> np.ndarray:
    """Estimated volumes of particles seen from above, as round as they are wide.

    Ellipsoids of revolution about their long axis, 2/3 area · width, the width that of the ellipse of equal area and
    length: exact for a ball. What is much longer along itself than across its Feret diameters is a bent round fibre,
    π/4 area · width, the width that of the strip of equal area and perimeter. What lies flat is thinner than this.
    """
    area, feret_max, feret_min, perimeter = map(np.asarray, (area, feret_max, feret_min, perimeter))
    strip = (perimeter - np.sqrt(np.maximum(perimeter**2 - 16 * area, 0))) / 4
    bent = (perimeter / 2 - strip) > BENT * feret_max
    width = np.minimum(4 * area / (np.pi * feret_max), feret_min)
    return np.where(bent, np.pi / 4 * area * strip, 2 / 3 * area * width)


def _readable(spectra: ParticleSpectra | None, classifier: Names, count: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Counts (N, C) with zeros for spectra that say nothing, and which of them do (N,) bool."""
    if spectra is None or classifier.axis is None:
        return None, np.zeros(count, dtype=bool)
    enough = total_counts(spectra.counts, spectra.axis) >= max(classifier.fewest_counts, 1)
    return np.where(enough[:, None], spectra.counts, 0), enough


def _record(
    i: int, objects: Objects, measured: Measured, spectra: ParticleSpectra | None, frame: Frame
) -> ParticleRecord:
    one = lambda name: _number(getattr(measured, name)[i])
    area, feret = measured.area[i], measured.feret_max[i]
    estimate = volume(area, feret, measured.feret_min[i], measured.perimeter[i])
    counts = float(spectra.counts[i].sum()) if spectra is not None and spectra.sources[i] else None
    elements: tuple[ElementShare, ...] = ()
    if spectra is not None and total_counts(spectra.counts[i], spectra.axis) >= FEWEST_COUNTS:
        found = intensities(
            spectra.counts[i], spectra.axis, spectra.beam_kev, resolution_ev=spectra.resolution_ev or RESOLUTION_EV
        )
        elements = tuple(
            ElementShare(element=e.element, family=e.family, net=round(e.net, 1), standard=round(e.standard, 1),
                         share=round(e.share, 5))
            for e in sorted(found, key=lambda e: -e.net) if e.net > 0
        )  # fmt: skip
    return ParticleRecord(
        number=i + 1,
        instance=int(objects.names[i]),
        x_px=float(measured.xy[i][0]),
        y_px=float(measured.xy[i][1]) + frame.rows_above,
        cut=bool(measured.cut[i]),
        sizes={
            "area": one("area"), "ecd": one("ecd"), "feret_max": one("feret_max"), "feret_min": one("feret_min"),
            "perimeter_crofton": one("perimeter"), "aspect_feret_min_over_max": one("aspect"),
            "circularity_iso_9276_6": one("circularity_iso"), "solidity": one("solidity"),
            "volume_estimate": _number(estimate), "weight_iso_13322_1": one("weight"),
        },
        spectrum=spectra.sources[i] if spectra is not None else "",
        counts=counts,
        elements=elements,
    )  # fmt: skip


def _named(
    answer: Answer | None, row: int | None, classifier: Names, seen: bool, read: bool,
    spectra: ParticleSpectra | None, i: int,
) -> dict[str, Any]:  # fmt: skip
    has = spectra is not None and bool(spectra.sources[i])
    why = "its spectrum has too few counts above 0.1 keV" if has and not read and classifier.axis is not None else ""
    if answer is None or row is None:
        return {"note": why or "it has no spectrum, and the classifier reads nothing else"}
    p = answer.probabilities[row]
    order = np.argsort(p)[::-1]
    by: SeenBy = "both" if seen and read else "image" if seen else "spectrum"
    return {
        "decided_by": by,
        "name": classifier.classes[order[0]],
        "confidence": round(float(p[order[0]]), 5),
        "second": classifier.classes[order[1]],
        "second_confidence": round(float(p[order[1]]), 5),
        "rejected": bool(answer.rejected[row]),
        "note": f"{why}, named by its picture" if why else "",
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
