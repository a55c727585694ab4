"""Contact of spheres on a plane, in closed form: sequential addition, relaxation, islands, drop and roll.

Every function returns centres; `radii` (n,) in µm, the floor is z = 0.
"""

import numpy as np
from scipy.spatial import cKDTree

from semforge.errors import RejectedSpecimen

BATCH = 64
DIRECTIONS = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], axis=1)


def scattered(rng: np.random.Generator, radii: np.ndarray, width_um: float, height_um: float) -> np.ndarray:
    """(n, 2) random places whose discs do not overlap: random sequential addition, the largest first.

    Equal discs fill at most 0.547 of the plane in this way. Raises RejectedSpecimen if one finds no place.
    """
    order = np.argsort(-radii, kind="stable")
    centres, sizes = np.zeros((0, 2)), np.zeros(0)
    for radius in radii[order]:
        for _ in range(60):
            tries = rng.uniform(size=(BATCH, 2)) * [width_um, height_um]
            gaps = np.linalg.norm(tries[:, None] - centres, axis=2) - sizes - radius
            free = np.flatnonzero((gaps >= 0).all(axis=1))
            if len(free):
                centres, sizes = np.concatenate([centres, tries[free[:1]]]), np.append(sizes, radius)
                break
        else:
            raise RejectedSpecimen(_full(sizes, radii, width_um * height_um))
    return np.asarray(centres[np.argsort(order, kind="stable")])


def relaxed(
    rng: np.random.Generator,
    owner: np.ndarray,
    at: np.ndarray,
    radii: np.ndarray,
    width_um: float,
    height_um: float,
    slack: float = 1e-3,
    steps: int = 1500,
) -> tuple[np.ndarray, bool]:
    """Push rigid groups of discs apart until they do not overlap, in a periodic box.

    `owner` (m,) is the group of each disc, `at` (m, 2) its place within the group. Returns the
    places of the groups (n, 2) and whether overlaps have gone below `slack` of a radius.
    """
    box = np.array([width_um, height_um])
    count = int(owner.max()) + 1
    places = rng.uniform(size=(count, 2)) * box
    grown = radii * (1 + slack)
    reach = 2 * float(grown.max())
    for step in range(steps):
        spots = (places[owner] + at) % box
        pairs = cKDTree(spots, boxsize=box).query_pairs(reach, output_type="ndarray")
        first, second = pairs[:, 0], pairs[:, 1]
        way = spots[second] - spots[first]
        way -= box * np.round(way / box)
        distance = np.hypot(way[:, 0], way[:, 1])
        overlap = grown[first] + grown[second] - distance
        apart = (overlap > 0) & (owner[first] != owner[second])
        if not apart.any() or (overlap[apart] <= slack * np.minimum(grown[first], grown[second])[apart]).all():
            return places % box, True
        first, second = owner[first[apart]], owner[second[apart]]
        push = (overlap[apart] / np.maximum(distance[apart], 1e-12))[:, None] * way[apart]
        move = np.zeros((count, 2))
        touched = np.bincount(np.concatenate([first, second]), minlength=count)
        for k in range(2):
            move[:, k] = np.bincount(second, push[:, k], count) - np.bincount(first, push[:, k], count)
        gain = 0.55 if step % 50 else 0.9  # a harder push now and then breaks jams
        places = (places + gain * move / np.sqrt(np.maximum(touched, 1))[:, None]) % box
    return places, False


def rolled(
    rng: np.random.Generator, radii: np.ndarray, width_um: float, height_um: float, starts: np.ndarray | None = None
) -> np.ndarray:
    """(n, 3) centres of spheres dropped one after another; each rolls downhill to where it is held.

    The centre of a falling sphere is stopped at the height h(x, y) = max over spheres i below of
    z_i + sqrt((r + r_i)^2 - d_i^2), or at r over the floor: a local minimum of h is a stable place.
    """
    centres = np.zeros((len(radii), 3))
    starts = rng.uniform(size=(len(radii), 2)) * [width_um, height_um] if starts is None else starts
    for k, radius in enumerate(radii):
        below, sizes = centres[:k], radii[:k]
        centres[k] = settled(starts[k], float(radius), below, sizes)
    return centres


def settled(start: np.ndarray, radius: float, below: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(3,) centre at which a sphere dropped at `start` (2,) comes to rest on spheres and floor."""
    place = np.array(start, dtype=float)
    travel = 6 * (radius + (float(sizes.max()) if len(sizes) else 0.0))
    near = np.hypot(*(below[:, :2] - place).T) < travel
    below, sizes = below[near], sizes[near]
    height = float(_stop(place[None], radius, below, sizes)[0])
    step = 0.5 * radius
    for _ in range(120):
        if height <= radius or step < 2e-3 * radius:
            break
        tries = place + step * DIRECTIONS
        heights = _stop(tries, radius, below, sizes)
        best = int(heights.argmin())
        if heights[best] < height - 1e-9 * radius:
            place, height = tries[best], float(heights[best])
        else:
            step /= 2
    return np.array([*place, height])


def _stop(places: np.ndarray, radius: float, below: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(m,) heights at which a sphere that falls at places (m, 2) is stopped."""
    if not len(below):
        return np.full(len(places), radius)
    x, y = places[:, :1] - below[:, 0], places[:, 1:] - below[:, 1]
    left = (sizes + radius) ** 2 - x**2 - y**2
    return np.asarray(np.where(left > 0, below[:, 2] + np.sqrt(np.maximum(left, 0)), radius).max(axis=1).clip(radius))


def islands(
    rng: np.random.Generator,
    radii: np.ndarray,
    width_um: float,
    height_um: float,
    seeds: int,
    upper: float,
) -> np.ndarray:
    """(n, 3) centres of spheres that gathered to islands, as a suspension leaves them when it dries.

    The first `seeds` lie apart; each further one comes from a random side and stops on the floor
    where it touches two of the island (one if it has only one), or with probability `upper` rolls
    to rest on top of it.
    """
    seeds = int(np.clip(seeds, 1, len(radii)))
    centres = np.zeros((len(radii), 3))
    centres[:seeds, :2] = scattered(rng, radii[:seeds], width_um, height_um)
    centres[:seeds, 2] = radii[:seeds]
    grounded = np.zeros(len(radii), dtype=bool)
    grounded[:seeds] = True
    for k in range(seeds, len(radii)):
        radius = float(radii[k])
        host = centres[rng.integers(k)]
        if rng.uniform() < upper and k > seeds + 3:
            spot = settled(host[:2] + rng.normal(scale=0.5 * radius, size=2), radius, centres[:k], radii[:k])
        else:
            spot = _attached(rng, radius, host, centres[:k], radii[:k], grounded[:k])
        centres[k] = spot
        grounded[k] = spot[2] <= radius * (1 + 1e-9)
    return centres


def _attached(
    rng: np.random.Generator,
    radius: float,
    host: np.ndarray,
    centres: np.ndarray,
    radii: np.ndarray,
    grounded: np.ndarray,
) -> np.ndarray:
    """(3,) free place on the floor touching the island around `host`, the nearest to the host on a random side."""
    floor = np.flatnonzero(grounded)
    away = np.hypot(*(centres[floor, :2] - host[:2]).T)
    close = floor[np.argsort(away, kind="stable")[:24]]
    plan = 2 * np.sqrt(radius * radii[close])  # of two spheres on a floor that touch
    a, b = np.triu_indices(len(close), 1)
    gap = centres[close[b], :2] - centres[close[a], :2]
    distance = np.hypot(gap[:, 0], gap[:, 1])
    fits = (distance < plan[a] + plan[b]) & (distance > np.abs(plan[a] - plan[b]))
    a, b, gap, distance = a[fits], b[fits], gap[fits], distance[fits]
    along = (distance**2 + plan[a] ** 2 - plan[b] ** 2) / (2 * distance)
    across = np.sqrt(np.maximum(plan[a] ** 2 - along**2, 0))
    unit = gap / distance[:, None]
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    middle = centres[close[a], :2] + along[:, None] * unit
    angle = rng.uniform(0, 2 * np.pi, size=(len(close), 4))
    single = centres[close, None, :2] + plan[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    pairs = np.concatenate([middle + across[:, None] * normal, middle - across[:, None] * normal])
    places = np.concatenate([pairs, single.reshape(-1, 2)])
    spots = np.c_[places, np.full(len(places), radius)]
    clear = np.linalg.norm(spots[:, None] - centres, axis=2) - radii - radius
    free = (clear > -1e-9 * radius).all(axis=1)
    side = rng.uniform(0, 2 * np.pi)
    aim = host[:2] + rng.uniform(0.5, 2.0) * radius * np.array([np.cos(side), np.sin(side)])
    far = np.hypot(*(places - aim).T) + 1.5 * radius * (np.arange(len(places)) >= len(pairs))
    far[~free] = np.inf
    best = int(far.argmin())
    if not np.isfinite(far[best]):
        return settled(aim, radius, centres, radii)
    return np.asarray(spots[best])


def _full(placed: np.ndarray, radii: np.ndarray, area: float) -> str:
    got, wanted = np.pi * (placed**2).sum() / area, np.pi * (radii**2).sum() / area
    return (
        f"{len(placed)} of {len(radii)} particles were placed, covering {got:.2f} of the region where {wanted:.2f} was "
        "asked for; ask for less, or for relaxed, dropped or clustered packing"
    )
