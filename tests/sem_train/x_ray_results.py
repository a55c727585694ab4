"""Spectra, maps and cards for tests of figures and pages: peaks whose places are known."""

import numpy as np

from sem_train.spectra.contents import (
    UNNAMED,
    Card,
    Share,
    ShownElements,
    ShownPhases,
    ShownPicture,
    ShownSpectrum,
    ShownTable,
)
from semforge.spectra import EnergyAxis

AXIS = EnergyAxis(1024, 10)
PEAKS = {"O": 0.525, "Na": 1.041, "Al": 1.487, "Si": 1.740, "S": 2.307, "K": 3.313, "Ca": 3.691, "Fe": 6.40}
NAMES = ("quartz", "salt <&>", "iron oxide")


def counts_of(heights, background=50.0, axis=AXIS, sigma=0.04, extra=()):
    """Expected counts: peaks of these heights at the lines of elements, or at energies, on a flat background."""
    counts = np.full(axis.channels, background, dtype=float)
    for energy, height in [*((PEAKS[e], h) for e, h in heights.items()), *extra]:
        counts += height * np.exp(-0.5 * ((axis.energies_kev - energy) / sigma) ** 2)
    return counts


def spectrum(name="grain", elements=("O", "Al", "Si", "Fe"), **changes):
    counts = np.random.default_rng(7).poisson(counts_of({"O": 900, "Al": 300, "Si": 1500}))
    return ShownSpectrum(name, counts, AXIS, 15.0, elements, **changes)


def phases(shape=(48, 64), **changes):
    """Quartz on the left, salt on the right, iron oxide a strip below; the last row is not named."""
    row, column = np.mgrid[: shape[0], : shape[1]]
    found = np.where(column < shape[1] // 2, 0, 1)
    found[row >= 3 * shape[0] // 4] = 2
    found[-1] = UNNAMED
    return ShownPhases(found, NAMES, pixel_size_um=0.5, **changes)


def card(name="field 1", **changes):
    there = phases(micrograph=np.random.default_rng(1).integers(0, 4000, (96, 128)).astype(np.uint16),
                   confidence=np.full((48, 64), 0.9))  # fmt: skip
    maps = {"Si Kα": np.where(there.phases == 0, 40, 1), "Fe Kα": np.where(there.phases == 2, 25, 0)}
    rows = tuple((f"p{k}", NAMES[k % 3], 1.5 * k + 0.25, None if k == 2 else k / 10) for k in range(12))
    given = {
        "facts": ("64 × 48 pixels", "15 kV"), "cautions": ("2 spectra are empty.",), "phases": there,
        "elements": ShownElements(maps, 0.5, ("Si Kα", "Fe Kα"), "Net counts."),
        "spectra": tuple(spectrum(f"grain {k}", note="named quartz, 0.93") for k in range(7)),
        "pictures": (ShownPicture("grain 0, what decided", np.zeros((20, 30, 3), np.uint8), "brighter: more"),),
        "tables": (ShownTable("Particles", ("particle", "class", "diameter, µm", "probability"), rows, "Of all."),),
    }  # fmt: skip
    return Card(name, **(given | changes))


SHARES = (Share("quartz", 0.5, 0.45, 0.56, 120), Share("salt <&>", 0.3, 0.24, 0.36, 72, "at 15 kV only"),
          Share("not named", 0.2, 0.15, 0.26, 48))  # fmt: skip
