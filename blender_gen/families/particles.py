"""Deposits of particles: populations cast, placed and sunk into a substrate."""

import inspect
from dataclasses import replace

import numpy as np

from blender_gen.deposits.deposit import Core, Deposit, Lot, Mould, Particle, Skin
from blender_gen.deposits.ground import make_ground
from blender_gen.deposits.placement import Cast, Placed, place
from blender_gen.distributions import Distribution
from blender_gen.recipe.particles import MOST_PARTICLES, ParticlesRecipe, Population, ShapeChoice, Sizes
from blender_gen.shapes import SHAPES, particle
from blender_gen.specimen import View
from semforge.errors import RejectedSpecimen

MOULDS = 14  # different bodies of a population; more particles are turned copies of them
FEW = 10  # fewer particles than these are looked for
FINEST_PX = 500.0  # a mesh is not made finer than for a particle of this size


def make_deposit(recipe: ParticlesRecipe, rng: np.random.Generator) -> Deposit:
    """Draw one specimen.

    Raises RejectedSpecimen if the draw cannot be built.
    """
    frame = recipe.frame
    view = View((0.0, 0.0), 0.0, frame.width_px, frame.height_px, frame.pixel_size_um.draw(rng))
    ground = make_ground(recipe.substrate, view, rng)
    lots: list[Lot] = []
    particles: list[Particle] = []
    for population in _present(recipe.populations, rng):
        median = population.ecd.median_um.draw(rng)
        lots.append(_lot(recipe, population, median, rng))
        alike = bool(rng.uniform() < population.alike)
        casts = _cast(population, median, alike, view, rng)
        kinds = list(population.placement)
        kind = kinds[_pick(list(population.placement.values()), rng)]
        placed = place(kind, casts, particles, view, population, rng)
        lots[-1] = replace(lots[-1], asked=len(casts), laid=len(placed))
        particles += _finish(recipe, population, len(lots) - 1, placed, alike, rng)
    particles = [p for p in particles if not _falls_through(p, ground.hole, view)]
    wanted = [p for p in particles if not lots[p.lot].background]
    if not wanted:
        raise RejectedSpecimen("no particle has come to lie on the substrate")
    shift = _into_view(wanted, view, rng)
    particles = [p.moved(*shift) for p in particles]
    return Deposit(
        view, ground, tuple(lots), tuple(particles), recipe.phase_names, int(rng.integers(2**63)),
        paths=recipe.imaging.needs_paths or recipe.edx is not None,
    )  # fmt: skip


def _present(populations: tuple[Population, ...], rng: np.random.Generator) -> list[Population]:
    """Which populations this specimen has, in the recipe's order; of those that exclude each other one."""
    groups: dict[str, list[Population]] = {}
    for population in populations:
        if population.one_of is not None:
            groups.setdefault(population.one_of, []).append(population)
    chosen = {tag: group[_pick([p.weight for p in group], rng)] for tag, group in groups.items()}
    chances = rng.uniform(size=len(populations))
    return [
        population
        for population, chance in zip(populations, chances, strict=True)
        if chance < population.probability and (population.one_of is None or chosen[population.one_of] is population)
    ]


def _lot(recipe: ParticlesRecipe, population: Population, median_um: float, rng: np.random.Generator) -> Lot:
    s = population.skin
    skin = Skin(
        s.mottle.draw(rng), s.mottle_size.draw(rng) * median_um,
        s.sectors.draw(rng), s.sector_size.draw(rng) * median_um,
        s.bumps.draw(rng), s.bump_size.draw(rng) * median_um,
    )  # fmt: skip
    phase = 0 if population.background else recipe.phase_names.index(population.name)
    return Lot(population.name, phase, population.background, skin)


def _cast(population: Population, median_um: float, alike: bool, view: View, rng: np.random.Generator) -> list[Cast]:
    """As many particles as the frame and its surroundings need, not yet placed."""
    sizes = _sizes(population, median_um, view, rng)
    if not len(sizes):
        return []
    shape = _drawn_shape(population.shapes, rng) if alike else None
    groups = np.array_split(np.sort(sizes)[::-1], min(len(sizes), MOULDS))
    casts = []
    for group in groups:  # of like size, so that no mesh is finer than it need be
        detail = float(np.clip(group[0] / view.pixel_size_um, 6, FINEST_PX))
        mould = Mould(_body(shape or _drawn_shape(population.shapes, rng), detail, rng))
        casts += [Cast(mould, float(ecd), float(rng.uniform(0, 2 * np.pi))) for ecd in group]
    return [casts[k] for k in rng.permutation(len(casts))]


def _sizes(population: Population, median_um: float, view: View, rng: np.random.Generator) -> np.ndarray:
    """ECDs (n,), enough for the frame and a margin around it of one particle's reach."""
    spread = np.log(population.ecd.sigma_g.draw(rng))
    number = None if population.number is None else population.number.draw(rng)
    coverage = None if population.coverage is None else population.coverage.draw(rng)
    width, height = view.size_um
    drawn = _lognormal(population.ecd, median_um, spread, 4 * MOST_PARTICLES, rng)
    margin = float(np.percentile(drawn[:200], 90))
    share = (width + margin) * (height + margin) / (width * height)
    if coverage is None:
        assert number is not None  # by the recipe
        count = _round(number * share, rng)
    else:
        areas = np.pi / 4 * drawn**2
        sums = np.cumsum(areas)
        wanted = coverage * share * width * height
        count = int(np.searchsorted(sums, wanted))
        left = wanted - (sums[count - 1] if count else 0.0)
        count += int(count < len(drawn) and rng.uniform() < left / areas[count])
        count = max(count, 1) if coverage > 0 else 0
    if count > 4 * MOST_PARTICLES - 1:
        raise RejectedSpecimen(f"population {population.name!r} needs more than {4 * MOST_PARTICLES} particles")
    return drawn[:count]


def _lognormal(sizes: Sizes, median_um: float, spread: float, count: int, rng: np.random.Generator) -> np.ndarray:
    if spread == 0:
        return np.full(count, median_um)
    drawn = median_um * np.exp(spread * rng.standard_normal(4 * count))
    drawn = drawn[(drawn >= sizes.min_um) & (drawn <= sizes.max_um)]
    if len(drawn) < count:  # limits that cut off most of the distribution
        drawn = np.resize(drawn, count) if len(drawn) else np.full(count, median_um)
    return drawn[:count]


def _drawn_shape(shapes: tuple[ShapeChoice, ...], rng: np.random.Generator) -> ShapeChoice:
    """One of the shapes, its distributions replaced by drawn values."""
    choice = shapes[_pick([s.weight for s in shapes], rng)]
    options = {n: v if isinstance(v, str) else Distribution(fixed=v.draw(rng)) for n, v in choice.options.items()}
    return choice.model_copy(update={"aspect": Distribution(fixed=choice.aspect.draw(rng)), "options": options})


def _body(choice: ShapeChoice, detail_px: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    annotations = {p.name: str(p.annotation) for p in inspect.signature(SHAPES[choice.shape]).parameters.values()}
    options = {
        name: value if isinstance(value, str) else _as(annotations[name], value.draw(rng))
        for name, value in choice.options.items()
    }
    return particle(choice.shape, rng, 1.0, choice.pose, aspect=choice.aspect.draw(rng), detail_px=detail_px, **options)


def _as(annotation: str, value: float) -> float | int:
    return round(value) if "int" in annotation else value


def _finish(
    recipe: ParticlesRecipe, population: Population, lot: int, placed: list[Placed], alike: bool,
    rng: np.random.Generator,
) -> list[Particle]:  # fmt: skip
    """Give placed particles their material, brightness, core and depth in the substrate."""
    names, weights = list(population.material), list(population.material.values())
    if alike:
        names, weights = [names[_pick(weights, rng)]], [1.0]
    materials = [_material_id(recipe, population, name) for name in names]
    brightness, between = population.skin.brightness.draw(rng), population.skin.variation.draw(rng)
    core = population.core if population.core is not None and rng.uniform() < population.core.probability else None
    core_size = core.size.draw(rng) if core else 0.0
    core_density = core.density.draw(rng) if core else 1.0
    result = []
    for spot in placed:
        cast, place_um = spot.cast, spot.place_um
        factor = brightness * float(np.clip(1 + between * rng.standard_normal(), 0.15, 4))
        inner = None
        if core is not None:
            angle, away = rng.uniform(0, 2 * np.pi), core.off_centre.draw(rng) * (1 - core_size) / 2
            size = float(np.clip(core_size * (1 + 0.04 * rng.standard_normal()), 0.02, 0.98))
            inner = Core(size, core_density, (away * np.cos(angle), away * np.sin(angle)))
        sunk = population.embedded.draw(rng) * cast.mould.height * cast.ecd_um if place_um[2] <= 1e-9 else 0.0
        where = (float(place_um[0]), float(place_um[1]), float(place_um[2] - sunk))
        material = materials[_pick(weights, rng)]
        result.append(Particle(cast.mould, cast.ecd_um, cast.turn_rad, where, lot, material, factor, inner, spot.hang))
    return result


def _material_id(recipe: ParticlesRecipe, population: Population, material: str) -> int:
    """Position in the recipe's materials: the population's own phase if it is its main material."""
    known = recipe.phase_materials
    if not population.background:
        own = recipe.phase_names.index(population.name)
        if known[own] == material:
            return own
    return known.index(material, 1)


def _falls_through(body: Particle, hole: np.ndarray, view: View) -> bool:
    """A particle that touches the substrate's plane nowhere but over a hole."""
    if body.place_um[2] > 1e-9 or not hole.any():
        return False
    angles = np.arange(8) * np.pi / 4
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 0.45 * body.ecd_um
    points = view.to_picture(np.array(body.place_um[:2]) + np.concatenate([np.zeros((1, 2)), ring]))
    columns = np.clip(np.rint(points[:, 0]).astype(int), 0, view.width_px - 1)
    rows = np.clip(np.rint(points[:, 1]).astype(int), 0, view.height_px - 1)
    return bool(hole[rows, columns].all())


def _into_view(particles: list[Particle], view: View, rng: np.random.Generator) -> tuple[float, float]:
    """Shift in µm that brings one of few particles well into the frame: a microscopist looks for them."""
    inner = 0.35 * np.array(view.size_um)
    seen = any(np.all(np.abs(p.place_um[:2]) < inner) for p in particles)
    if len(particles) >= FEW and seen:
        return 0.0, 0.0
    chosen = particles[int(rng.integers(len(particles)))]
    x, y = rng.uniform(-inner, inner) - np.array(chosen.place_um[:2])
    return float(x), float(y)


def _pick(weights: list[float], rng: np.random.Generator) -> int:
    shares = np.cumsum(weights)
    return min(int(np.searchsorted(shares, rng.uniform() * shares[-1], side="right")), len(weights) - 1)


def _round(value: float, rng: np.random.Generator) -> int:
    """To a whole number that has the value as its mean."""
    return int(value) + int(rng.uniform() < value - int(value))
