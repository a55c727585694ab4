"""Label maps of aluminide coatings whose truth is known in closed form."""

import numpy as np

from sem_train.classes import ClassMap

CLASSES = ClassMap(classes=[
    {"name": "resin", "role": "outside", "phases": ["epoxy"]},
    {"name": "Fe2Al5", "role": "layer", "phases": ["Fe2Al5"]},
    {"name": "FeAl", "role": "layer", "phases": ["FeAl"]},
    {"name": "steel", "role": "substrate", "phases": ["steel"]},
    {"name": "pore", "role": "inclusion", "host": "Fe2Al5", "phases": ["pore"]},
    {"name": "precipitate", "role": "inclusion", "host": "Fe2Al5", "phases": ["precipitate"]},
    {"name": "crack", "role": "crack", "host": "Fe2Al5", "phases": ["crack"]},
])  # fmt: skip
RESIN, FE2AL5, FEAL, STEEL, PORE, PRECIPITATE, CRACK = range(7)


def section(shape, *depths):
    """Resin over layers over steel; `depths` are rows (scalars or (W,)) of the interfaces, outermost first.

    Two depths give Fe2Al5 on steel, three Fe2Al5 and FeAl on steel.
    """
    rows = np.arange(shape[0])[:, None]
    labels = np.zeros(shape, dtype=np.uint8)
    for label, depth in zip((FE2AL5, FEAL, STEEL) if len(depths) == 3 else (FE2AL5, STEEL), depths, strict=True):
        labels[rows >= np.broadcast_to(depth, shape[1])] = label
    return labels


def slab(shape, thickness, tilt_deg, middle=None):
    """Fe2Al5 of a thickness in pixels, its midline tilted counter-clockwise about the centre of the frame."""
    tilt = np.deg2rad(tilt_deg)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    depth = (rows - (shape[0] / 2 if middle is None else middle)) * np.cos(tilt)
    depth += (columns - shape[1] / 2) * np.sin(tilt)
    return np.select([depth < -thickness / 2, depth < thickness / 2], [RESIN, FE2AL5], STEEL).astype(np.uint8)


def put_disc(labels, row, column, radius, label, only=None):
    """Draw a disc in place, where the map has the label `only` or anywhere."""
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    disc = (rows - row - 0.31) ** 2 + (columns - column - 0.17) ** 2 < radius**2  # on no pixel's centre: area is exact
    labels[disc if only is None else disc & (labels == only)] = label


def porous_layer(rng, line_coverage=None):
    """A 512 x 640 map of Fe2Al5 with random pores: spread sizes, a third of the maps clustered, and maybe a line.

    Returns the map and the line's relative depth (None without a line). Sizes follow aluminide
    coatings: 40–100 µm thick, pore diameter lognormal with median 1.5–4 µm, area fraction 1–12 %.
    """
    shape, top, bottom = (512, 640), 60.0, 452.0
    thickness_um = rng.uniform(40, 100)
    pixel_um = thickness_um / (bottom - top)
    x = np.arange(shape[1])
    wave = 8 * np.sin(2 * np.pi * (x / rng.uniform(150, 400) + rng.uniform()))
    labels = section(shape, top + wave, bottom + 0.3 * wave)
    median_um, spread = rng.uniform(1.5, 4), rng.uniform(1.8, 2.2)
    clusters = rng.choice([0, 0, 2])
    wanted = np.exp(rng.uniform(np.log(0.01), np.log(0.12))) * np.count_nonzero(labels == FE2AL5)

    def diameter_px(largest_um):
        return min(median_um * spread ** rng.normal(), largest_um) / pixel_um

    def cut(diameter):  # radius of a random section of a sphere
        return diameter / 2 * np.sqrt(1 - rng.uniform() ** 2)

    area = 0.0
    while area < wanted:
        first = diameter_px(min(32, 0.4 * thickness_um))
        row, column = rng.uniform(top, bottom), rng.uniform(0, shape[1])
        for member in range(1 + rng.poisson(clusters)):
            radius = cut(first if member == 0 else diameter_px(32))
            shift = rng.normal(scale=0.8 * first, size=2) * (member > 0)
            put_disc(labels, row + shift[0], column + shift[1], radius, PORE, only=FE2AL5)
            area += np.pi * radius**2
    if line_coverage is None:
        return labels, None
    depth, half_um = rng.uniform(0.3, 0.6), rng.uniform(1, 4)
    covered = np.zeros(shape[1], dtype=bool)
    while covered.mean() < line_coverage:
        radius, column = cut(diameter_px(4 * half_um)), rng.uniform(0, shape[1])
        outer, inner = (np.interp(column, x, edge) for edge in (top + wave, bottom + 0.3 * wave))
        row = outer + depth * (inner - outer) + rng.normal(scale=half_um / 2) / pixel_um
        put_disc(labels, row, column, radius, PORE, only=FE2AL5)
        covered |= np.abs(x - column) < radius
    return labels, depth
