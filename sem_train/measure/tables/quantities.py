"""What is reported of inclusions, cracks and particles: name, number, unit, and the standard behind it."""

from typing import NamedTuple

from sem_train.measure.bodies.cracks import CrackMeasurement
from sem_train.measure.bodies.distributions import SizeDistribution
from sem_train.measure.bodies.inclusions import InclusionMeasurement
from sem_train.measure.bodies.interfaces import Histogram
from sem_train.measure.bodies.neighbours import Neighbours
from sem_train.measure.bodies.particles import ParticleMeasurement

SHAPE_STANDARDS = {
    "aspect": "ISO 9276-6, Feret min/max",
    "circularity_iso": "ISO 9276-6, sqrt(4 pi A)/P",
    "circularity_imagej": "ImageJ, 4 pi A/P^2",
    "solidity": "ISO 9276-6",
    "compactness": "ISO 9276-6",
}


class Quantity(NamedTuple):
    """One number; None where it could not be measured."""

    name: str
    value: float | int | None
    unit: str
    method: str = ""


def of_inclusion(inclusion: InclusionMeasurement, unit: str) -> list[Quantity]:
    """All numbers of one class of inclusions."""
    sizes = inclusion.sizes
    return [
        Quantity("area_percent", inclusion.area_percent, "%", "ASTM E2109"),
        Quantity("count", inclusion.count, ""),
        Quantity("number_density", inclusion.number_density, f"1/{unit}^2", "ASTM E1245, cut objects by half"),
        Quantity("ecd_mean", inclusion.ecd_mean, unit, "ISO 9276-6"),
        Quantity("ecd_sd", sizes.sd if sizes else None, unit, "ISO 9276-6"),
        Quantity("ecd_median", inclusion.ecd_median, unit, "ISO 9276-6"),
        *_shares(sizes, "number", unit, "ISO 9276-1"),
        *_shares(sizes, "area", unit, "ISO 9276-1"),
        Quantity("mean_free_path", inclusion.mean_free_path, unit, "ASTM E1245, (1 - A_A)/N_L"),
        *_neighbours(inclusion.neighbours, unit),
        *_distances(inclusion, unit),
    ]


def of_crack(crack: CrackMeasurement, unit: str) -> list[Quantity]:
    """All numbers of one class of cracks."""
    return [
        Quantity("count", crack.count, ""),
        Quantity("length_total", crack.total_length, unit, "along the middle line"),
        Quantity(
            "length_mean", crack.total_length / crack.count if crack.count else None, unit, "along the middle line"
        ),
        Quantity("length_max", max((c.length for c in crack.cracks), default=None), unit, "along the middle line"),
        Quantity("opening_mean", crack.mean_opening, unit, "area over length"),
        Quantity("opening_max", crack.max_opening, unit, "largest inscribed disc"),
        Quantity("length_density", crack.length_density, f"1/{unit}", "length per area of the layer"),
        Quantity("per_length", crack.per_length, f"1/{unit}", "cracks per length of the layer"),
        Quantity("through", crack.through, "", "reaches both interfaces"),
        Quantity("angle_to_normal", crack.orientation_deg, "deg", "weighted with length"),
        Quantity("through_spacing_mean", crack.spacing_mean, unit, "along the midline"),
        Quantity("through_spacing_sd", crack.spacing_sd, unit, "along the midline"),
    ]


def of_particles(particles: ParticleMeasurement, unit: str) -> list[Quantity]:
    """All numbers of one class of particles."""
    sizes, means = particles.sizes, particles.shapes
    fit = sizes.lognormal if sizes else None
    weighted = "ISO 13322-1"
    return [
        Quantity("count", particles.count, "", particles.separation),
        Quantity("count_whole", particles.count_whole, "", particles.separation),
        Quantity("area_percent", particles.area_percent, "%", "ASTM E1245"),
        Quantity("number_density", particles.number_density, f"1/{unit}^2", weighted),
        Quantity("ecd_mean", sizes.mean if sizes else None, unit, weighted),
        Quantity("ecd_sd", sizes.sd if sizes else None, unit, weighted),
        *_shares(sizes, "number", unit, weighted),
        *_shares(sizes, "volume", unit, weighted),
        Quantity("span_number", sizes.span_number if sizes else None, "", "(D90 - D10)/D50"),
        Quantity("span_volume", sizes.span_volume if sizes else None, "", "(D90 - D10)/D50"),
        Quantity("geometric_mean", fit.geometric_mean if fit else None, unit, "lognormal"),
        Quantity("geometric_sd", fit.geometric_sd if fit else None, "", "lognormal"),
        Quantity("lognormal_a2", fit.anderson_darling if fit else None, "", "Anderson-Darling"),
        Quantity("lognormal_p", fit.p_value if fit else None, "", "Anderson-Darling"),
        Quantity("feret_max_mean", particles.feret_max.mean if particles.feret_max else None, unit, weighted),
        Quantity("feret_min_mean", particles.feret_min.mean if particles.feret_min else None, unit, weighted),
        Quantity("shape_count", max((m.number for m in means.values()), default=0), "", "at least 100 px"),
        *(
            Quantity(f"{name}_mean", means[name].mean if name in means else None, "", standard)
            for name, standard in SHAPE_STANDARDS.items()
        ),
        *_neighbours(particles.neighbours, unit),
        Quantity("needed_d50_number", particles.needed_number, "", "ISO 13322-1, +-5 % at 95 %, lognormal"),
        Quantity("needed_d50_volume", particles.needed_volume, "", "ISO 13322-1, +-5 % at 95 %, lognormal"),
    ]


def _shares(sizes: SizeDistribution | None, kind: str, unit: str, method: str) -> list[Quantity]:
    values = getattr(sizes, f"by_{kind}") if sizes else {}
    return [Quantity(f"d{q}_{kind}", values.get(q), unit, method) for q in (10, 50, 90)]


def _neighbours(neighbours: Neighbours, unit: str) -> list[Quantity]:
    return [
        Quantity("nearest_neighbour_mean", neighbours.mean, unit, "centroids, Hanisch"),
        Quantity("nearest_neighbour_ratio", neighbours.ratio, "", "over 0.5/sqrt(density)"),
        Quantity("nearest_neighbour_used", neighbours.used, ""),
    ]


def _distances(inclusion: InclusionMeasurement, unit: str) -> list[Quantity]:
    sides: tuple[tuple[str, Histogram | None], ...] = (("outer", inclusion.to_outer), ("inner", inclusion.to_inner))
    return [
        Quantity(f"distance_to_{side}_mean", found.mean if found else None, unit, "centroid to interface")
        for side, found in sides
    ]
