"""Three figures between two sets of micrographs, and the same between two halves of the real one."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import ks_2samp

from sem_train.gap.classifier import Estimate, accuracy, held_out_logits, mean_estimate
from sem_train.gap.crops import Crops, draw_crops
from sem_train.gap.distances import grey_distance, grey_histogram, log_spectrum, spectrum_distance
from sem_train.gap.image_sets import ImageSet
from sem_train.gap.statistics import statistics_table
from semforge.errors import InputError

HALVINGS = 10  # random halves of the real set that the figures between halves are means of
MIN_CROP_PX, MIN_CROPS = 32, 16


@dataclass(frozen=True)
class GapSettings:
    """How the sets are compared."""

    crop_px: int = 128
    crops: int = 512  # of each set, at least
    seed: int = 0


@dataclass(frozen=True)
class Side:
    """One of the two sets, counted."""

    name: str
    images: int
    specimens: int
    crops: int


@dataclass(frozen=True)
class Figures:
    """The figures between two sets of images."""

    grey_raw: Estimate  # Wasserstein distance, grey levels of 255
    grey_normalised: Estimate  # the same, each image stretched between its percentiles
    spectrum_db: Estimate
    accuracy: Estimate


@dataclass(frozen=True)
class Telling:
    """How far one statistic tells the sets apart."""

    name: str
    family: str  # what it is about
    real: tuple[float, float, float]  # quartiles over crops
    synthetic: tuple[float, float, float]
    distance: float  # Kolmogorov-Smirnov: 0 the same distribution, 1 no overlap
    halves: float | None  # the same between halves of the real set

    @property
    def excess(self) -> float:
        """Distance above what real specimens differ by among themselves."""
        return self.distance - (self.halves or 0.0)


@dataclass(frozen=True)
class Gap:
    """How far a synthetic set is from a real one."""

    real: Side
    synthetic: Side
    settings: GapSettings
    figures: Figures
    halves: Figures | None  # None where the real set has fewer than four specimens
    alone: dict[str, float]  # held-out accuracy with the statistics of one family only, by family
    telling: tuple[Telling, ...]  # most telling first
    crops: tuple[Crops, Crops]
    logits: tuple[np.ndarray, np.ndarray]  # held-out log odds of being synthetic, real crops and synthetic crops

    def to_json(self) -> str:
        """All numbers, without the crops."""
        parts = {
            "real": asdict(self.real), "synthetic": asdict(self.synthetic), "settings": asdict(self.settings),
            "figures": asdict(self.figures), "halves": asdict(self.halves) if self.halves else None,
            "accuracy_alone": self.alone, "telling": [{**asdict(t), "excess": t.excess} for t in self.telling],
        }  # fmt: skip
        return json.dumps(parts, indent=2, ensure_ascii=False)


@dataclass(frozen=True)
class _Described:
    """A set of images in the numbers that the figures need."""

    specimens: np.ndarray  # (images,) str
    greys: np.ndarray  # (images, 256)
    greys_normalised: np.ndarray  # (images, 256)
    crop_specimens: np.ndarray  # (crops,) str
    spectra: np.ndarray  # (crops, rings)
    values: np.ndarray  # (crops, statistics)

    def of(self, specimens: np.ndarray) -> "_Described":
        """The part that belongs to these specimens."""
        images, crops = np.isin(self.specimens, specimens), np.isin(self.crop_specimens, specimens)
        return _Described(
            self.specimens[images], self.greys[images], self.greys_normalised[images],
            self.crop_specimens[crops], self.spectra[crops], self.values[crops],
        )  # fmt: skip


def measure_gap(real: ImageSet, synthetic: ImageSet, settings: GapSettings | None = None) -> Gap:
    """Compare two sets of images; the same sets, settings and seed give the same figures.

    Raises InputError if a set has images of one specimen only, or images smaller than a crop.
    """
    settings = settings or GapSettings()
    if settings.crop_px < MIN_CROP_PX:
        raise InputError(f"crops of {settings.crop_px} pixels, expected {MIN_CROP_PX} or more; raise --crop-px")
    if settings.crops < MIN_CROPS:
        raise InputError(f"{settings.crops} crops of a set, expected {MIN_CROPS} or more; raise --crops")
    for images in (real, synthetic):
        if len(images.specimens) < 2:
            raise InputError(
                f"{images.name}: has {len(images.images)} image(s) of one specimen, expected two specimens at least, "
                "one to learn from and one to test on"
            )
    streams = np.random.SeedSequence(settings.seed).spawn(2)
    crops = [
        draw_crops(images, settings.crop_px, settings.crops, np.random.default_rng(stream))
        for images, stream in zip((real, synthetic), streams, strict=True)
    ]
    families, a = _described(real, crops[0])
    _, b = _described(synthetic, crops[1])
    logits = held_out_logits(a.values, b.values, a.crop_specimens, b.crop_specimens, settings.seed)
    figures = _figures(a, b, accuracy(*logits, a.crop_specimens, b.crop_specimens, settings.seed))
    halves = list(_halves(a, settings.seed))
    return Gap(
        _side(real, crops[0]), _side(synthetic, crops[1]), settings, figures,
        _mean_figures(halves, settings.seed) if halves else None,
        _alone(families, a, b, settings.seed), _telling(families, a, b, halves), (crops[0], crops[1]),
        (logits[0].mean(axis=0), logits[1].mean(axis=0)),
    )  # fmt: skip


def _side(images: ImageSet, crops: Crops) -> Side:
    return Side(images.name, len(images.images), len(images.specimens), len(crops))


def _described(images: ImageSet, crops: Crops) -> tuple[dict[str, str], _Described]:
    families, values = statistics_table(crops.grey)
    described = _Described(
        specimens=np.array([image.specimen for image in images.images]),
        greys=np.array([grey_histogram(image.grey) for image in images.images]),
        greys_normalised=np.array([grey_histogram(image.grey, normalised=True) for image in images.images]),
        crop_specimens=crops.specimen,
        spectra=np.array([log_spectrum(crop) for crop in crops.grey]),
        values=values,
    )
    return families, described


def _figures(a: _Described, b: _Described, right: Estimate) -> Figures:
    """Figures with no interval but that of the accuracy."""
    point = lambda value: Estimate(value, value, value)
    return Figures(
        point(grey_distance(a.greys, b.greys)), point(grey_distance(a.greys_normalised, b.greys_normalised)),
        point(spectrum_distance(a.spectra, b.spectra)), right,
    )  # fmt: skip


def _halves(real: _Described, seed: int) -> Iterator[tuple[_Described, _Described]]:
    """Random halves of the specimens, two specimens each at least; none where there are too few."""
    specimens = np.unique(real.specimens)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    for _ in range(HALVINGS if len(specimens) >= 4 else 0):
        order = rng.permutation(specimens)
        yield real.of(order[: len(order) // 2]), real.of(order[len(order) // 2 :])


def _mean_figures(halves: list[tuple[_Described, _Described]], seed: int) -> Figures:
    """Mean and range over the halvings."""
    found = []
    for a, b in halves:
        logits = held_out_logits(a.values, b.values, a.crop_specimens, b.crop_specimens, seed)
        found.append(_figures(a, b, accuracy(*logits, a.crop_specimens, b.crop_specimens, seed)))
    over = lambda name: mean_estimate([getattr(f, name).value for f in found])
    return Figures(over("grey_raw"), over("grey_normalised"), over("spectrum_db"), over("accuracy"))


def _alone(families: dict[str, str], a: _Described, b: _Described, seed: int) -> dict[str, float]:
    """Accuracy of the classifier that sees one family of statistics."""
    kind, groups = np.array(list(families.values())), (a.crop_specimens, b.crop_specimens)
    found = {}
    for family in dict.fromkeys(families.values()):
        logits = held_out_logits(a.values[:, kind == family], b.values[:, kind == family], *groups, seed)
        found[family] = accuracy(*logits, *groups, seed).value
    return found


def _telling(
    families: dict[str, str], a: _Described, b: _Described, halves: list[tuple[_Described, _Described]]
) -> tuple[Telling, ...]:
    """All statistics, those that tell the sets apart most beyond the real set's own spread first."""
    distance = lambda first, second, i: float(ks_2samp(first.values[:, i], second.values[:, i]).statistic)
    found = []
    for i, name in enumerate(families):
        quartiles = [_quartiles(side.values[:, i]) for side in (a, b)]
        own = float(np.mean([distance(*pair, i) for pair in halves])) if halves else None
        found.append(Telling(name, families[name], quartiles[0], quartiles[1], distance(a, b, i), own))
    return tuple(sorted(found, key=lambda t: -t.excess))


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)
