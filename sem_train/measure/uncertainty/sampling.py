"""How far the specimen may differ from what one field shows of it, by what varies along the layer within the field.

Values along a layer are correlated (`series`); ratios, as the area of pores over that of the layer, are taken apart
into what each column of the upright map adds to them; bodies count in the column of their centre.
"""

import math
from dataclasses import replace

import numpy as np

from sem_train.measure.bodies.cracks import CrackMeasurement
from sem_train.measure.bodies.inclusions import InclusionMeasurement
from sem_train.measure.bodies.particles import ParticleMeasurement
from sem_train.measure.field import FieldMeasurement
from sem_train.measure.layers.normals import Normals
from sem_train.measure.layers.thickness import PERCENTILES
from sem_train.measure.section import Section
from sem_train.measure.uncertainty.bootstrap import FEWEST_PARTICLES, block_bootstrap, size_spreads
from sem_train.measure.uncertainty.estimate import Spread, coverage_factor
from sem_train.measure.uncertainty.proportions import count_spread, share_spread
from sem_train.measure.uncertainty.series import SeriesMean, series_mean

TAILS = ("thickness_sd", "thickness_p05", "thickness_p95")  # rest on few places: half of the degrees of freedom
Key = tuple[str, str, str]  # kind, name and quantity, as in the rows of a table


def sampling_spreads(section: Section | None, field: FieldMeasurement) -> dict[Key, Spread]:
    """Spread by sampling of each quantity for which it can be told, in the unit of its row.

    Without a section, as for instance maps, only that of the sizes of particles.
    """
    pixel = field.pixel_size_um or 1.0
    found: dict[Key, Spread] = {}
    if section is not None:
        for name, layer in field.layers.items():
            normals = section.normals[name]
            if normals is not None:
                spreads = layer_spreads(normals, pixel * math.cos(math.radians(layer.section_tilt_deg)))
                found |= {("layer", name, q): s for q, s in spreads.items()}
        for name, inclusion in field.inclusions.items():
            spreads = inclusion_spreads(section, name, inclusion, pixel)
            found |= {("inclusion", name, q): s for q, s in spreads.items()}
        for name, crack in field.cracks.items():
            found |= {("crack", name, q): s for q, s in crack_spreads(section, crack, pixel).items()}
    for name, particles in field.particles.items():
        found |= {("particle", name, q): s for q, s in particle_spreads(section, name, particles).items()}
    return found


def layer_spreads(normals: Normals, across: float) -> dict[str, Spread]:
    """Of the thickness of one layer and of its coverage in percent; `across` is the unit of thickness a pixel."""
    thickness = normals.thickness_px
    known = series_mean(thickness)
    if known is None:
        return {}
    found = {"thickness_mean": known.spread, "thickness_mean_over_all": known.spread}
    if normals.absent.any():
        seen = normals.usable | normals.absent
        exists = normals.usable[seen].astype(float)
        full = np.where(normals.usable, np.nan_to_num(normals.inner - normals.outer), 0.0)[seen]
        over_all = series_mean(full)
        found |= {"thickness_mean": _ratio(full, exists) or known.spread}
        found |= {"thickness_mean_over_all": over_all.spread} if over_all is not None else {}
    found |= _of_spread(thickness, known)
    found = {name: _scaled(spread, across) for name, spread in found.items()}
    return found | {"coverage": _scaled(_coverage(normals, known), 100)}


def _of_spread(thickness: np.ndarray, known: SeriesMean) -> dict[str, Spread]:
    """Of sd and percentiles. A short series shows less than the whole spread: the side to the outside is the longer."""
    names = ["thickness_sd", *(f"thickness_p{p:02d}" for p in PERCENTILES)]
    statistics = lambda d: np.vstack([d.std(axis=1, ddof=1), np.percentile(d, PERCENTILES, axis=1)])
    values = statistics(thickness[None])[:, 0]
    hidden = math.sqrt(known.variance) / values[0] - 1 if values[0] > 0 else 0.0
    off = hidden * np.array([values[0], *(values[1:] - known.mean)])
    found = {}
    for name, s, shift in zip(names, block_bootstrap(thickness, statistics), off, strict=True):
        dof = s.dof / 2 if name in TAILS else s.dof
        half = coverage_factor(dof) * s.standard
        found[name] = Spread(s.standard, max(dof, 1.0), half + max(-shift, 0.0), half + max(shift, 0.0))
    return found


def inclusion_spreads(section: Section, name: str, inclusion: InclusionMeasurement, pixel: float) -> dict[str, Spread]:
    """Of the inclusions of one class in the envelope of their host."""
    envelope = section.envelopes[inclusion.host]
    host = envelope.sum(axis=0).astype(float)
    columns = np.flatnonzero(host)
    if len(columns) == 0:
        return {}
    objects = inclusion.objects
    column = upright_columns(section, objects.xy)
    by_column = lambda at, weight: np.bincount(at, weights=weight, minlength=len(host))[columns].astype(float)
    area = _ratio((section.mask(name) & envelope).sum(axis=0)[columns].astype(float), host[columns])
    number = count_along(by_column(column, np.where(objects.cut, 0.5, 1.0)), host[columns])
    found = {
        "area_percent": None if area is None else _scaled(area, 100),
        "number_density": None if number is None else _scaled(number, 1 / (host.sum() * pixel**2)),
    }
    whole = ~objects.cut
    if whole.sum() >= FEWEST_PARTICLES:
        sizes = objects.ecd[whole]
        found |= size_spreads(sizes, np.ones(len(sizes)))
        # sizes of neighbours may be alike
        found["ecd_mean"] = _ratio(by_column(column[whole], sizes), by_column(column[whole], np.ones(len(sizes))))
    return {name: spread for name, spread in found.items() if spread is not None}


def crack_spreads(section: Section, crack: CrackMeasurement, pixel: float) -> dict[str, Spread]:
    """Of the cracks of one class per length and per area of their host."""
    envelope, normals = section.envelopes[crack.host], section.normals[crack.host]
    host = envelope.sum(axis=0).astype(float)
    if not host.any():
        return {}
    column = upright_columns(section, np.array([c.xy for c in crack.cracks]).reshape(-1, 2))
    by_column = lambda weight: np.bincount(column, weights=weight, minlength=len(host)).astype(float)
    found: dict[str, Spread | None] = {}
    number = count_along(by_column(np.ones(len(column))), np.ones(len(host)))
    if number is not None and normals is not None and crack.per_length is not None:
        length = crack.count / crack.per_length if crack.per_length > 0 else float(np.ptp(normals.along)) * pixel
        found["per_length"] = _scaled(number, 1 / length) if length > 0 else None
    if crack.count >= FEWEST_PARTICLES:  # of fewer, nobody knows how their lengths spread
        found["length_density"] = _ratio(by_column(np.array([c.length for c in crack.cracks])), host * pixel**2)
    return {name: spread for name, spread in found.items() if spread is not None}


def particle_spreads(section: Section | None, name: str, particles: ParticleMeasurement) -> dict[str, Spread]:
    """Of the particles of one class: sizes by drawing particles, area and number by how they vary over columns."""
    objects = particles.objects
    whole = ~objects.cut
    found: dict[str, Spread | None] = {}
    if whole.sum() >= FEWEST_PARTICLES:
        found |= size_spreads(objects.ecd[whole], objects.weight[whole])
    if section is not None:
        width = section.labels.shape[1]
        column = upright_columns(section, objects.xy)
        number = count_along(np.bincount(column[whole], minlength=width).astype(float), np.ones(width))
        if number is not None and particles.count_whole:
            found["number_density"] = _scaled(number, particles.number_density / particles.count_whole)
        area = _ratio(section.mask(name).sum(axis=0).astype(float), np.full(width, float(section.labels.shape[0])))
        found["area_percent"] = None if area is None else _scaled(area, 100)
    return {name: spread for name, spread in found.items() if spread is not None}


def upright_columns(section: Section, xy: np.ndarray) -> np.ndarray:
    """Columns (N,) int in the upright map of points (N, 2) of the image as given; inverse of `Section.in_image`."""
    width = section.labels.shape[1]
    x, y = xy.T
    column = (x, y, width - 1 - x, width - 1 - y)[section.turns % 4]
    return np.clip(np.rint(column), 0, width - 1).astype(int)


def count_along(number: np.ndarray, host: np.ndarray) -> Spread | None:
    """Of Σnumber, counted in columns (N,) that show `host` of where they could be; Poisson's at least."""
    count = float(number.sum())
    series = series_mean(number - count / host.sum() * host)
    if series is None:
        return None
    variance = (series.spread.standard * len(number)) ** 2
    grouped = variance > count > 0
    return count_spread(count, variance / count if grouped else 1.0, series.spread.dof if grouped else math.inf)


def _ratio(above: np.ndarray, below: np.ndarray) -> Spread | None:
    """Of Σabove / Σbelow over columns (N,): what each column adds to it is a series of mean zero."""
    total = below.sum()
    if total <= 0:
        return None
    series = series_mean(above - above.sum() / total * below)
    return None if series is None else _scaled(series.spread, len(below) / float(total))


def _coverage(normals: Normals, thickness: SeriesMean) -> Spread:
    judged = normals.covered | normals.absent
    covered = normals.covered[judged].astype(float)
    share = float(covered.mean())
    series = series_mean(covered)
    if series is None or series.variance == 0:  # nothing is missing: as many chances to miss as the thickness varies
        return share_spread(share, thickness.n_eff, thickness.spread.dof)
    return share_spread(share, share * (1 - share) / series.spread.standard**2, series.spread.dof)


def _scaled(spread: Spread, factor: float) -> Spread:
    side = lambda half: None if half is None else half * factor
    return replace(spread, standard=spread.standard * factor, below=side(spread.below), above=side(spread.above))


def thickness_in(section: Section, layer: str) -> SeriesMean | None:
    """Thickness in pixels along a layer, where it exists, as a correlated series."""
    normals = section.normals.get(layer)
    return None if normals is None else series_mean(normals.thickness_px)
