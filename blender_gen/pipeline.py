"""make_sample: the wiring from a recipe and an index to a labelled micrograph, and nothing else."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import semforge
from blender_gen import detector, scene
from blender_gen.families.coating import make_coating
from blender_gen.phases import void_mask
from blender_gen.preparation import prepare
from blender_gen.recipe import Recipe, recipe_hash, recipe_text
from blender_gen.sample import Header, Sample
from blender_gen.section import Section, cut
from blender_gen.seeding import Stage, generator
from blender_gen.texture import texture
from blender_gen.truth import coating_truth
from semforge.errors import RejectedSpecimen

MAX_ATTEMPTS = 10
VERSIONED = ("bpy", "numpy", "manifold3d", "scipy")


def make_sample(recipe: Recipe, index: int, seed: int, threads: int = 0) -> Sample:
    """Draw, cut, render and image sample `index` of the data set `seed`.

    The result depends on recipe, index and seed alone. A rejected draw is replaced by the next
    attempt, whose number is kept in the truth. `threads` 0 means all cores.

    Raises RejectedSpecimen after MAX_ATTEMPTS rejected draws, RenderError if Blender fails.
    """
    for attempt in range(MAX_ATTEMPTS):
        try:
            return _attempt(recipe, index, seed, attempt, threads)
        except RejectedSpecimen as rejection:
            reason = rejection
    raise RejectedSpecimen(f"sample {index}: {MAX_ATTEMPTS} draws were rejected, the last one because {reason}")


def make_header(recipe: Recipe, seed: int) -> Header:
    """What is true of every sample of a data set."""
    return Header(recipe_text(recipe), recipe_hash(recipe), seed, recipe.phase_names, _versions(), "CPU")


def audit(section: Section, phase: np.ndarray) -> None:
    """Compare the label map's areas with the exact ones.

    A straight boundary of n pixels along the pixel grid can put every one of them on the wrong side
    by half, so the areas may differ by n/2. Raises RejectedSpecimen on more.
    """
    pixel = section.specimen.view.pixel_size_um
    counts = np.bincount(phase.ravel(), minlength=len(section.specimen.phase_names))
    for number, region in section.visible.items():
        rings = region.to_polygons()
        boundary = sum(np.linalg.norm(np.diff(r, axis=0, append=r[:1]), axis=1).sum() for r in rings) / pixel
        error = abs(counts[number] - region.area() / pixel**2)
        if error > boundary / 2 + 4:
            name = section.specimen.phase_names[number]
            raise RejectedSpecimen(f"{name} covers {counts[number]} pixels, {error:.0f} off its exact area")


def _attempt(recipe: Recipe, index: int, seed: int, attempt: int, threads: int) -> Sample:
    try:
        specimen = make_coating(recipe, generator(seed, index, Stage.SPECIMEN, attempt))
        section = cut(specimen)
    except (ValueError, RuntimeError) as error:  # geometry that cannot be built, e.g. a mesh that is no solid
        raise RejectedSpecimen(str(error)) from error
    passes = scene.render(section, threads)
    audit(section, passes.phase)
    pixel = specimen.view.pixel_size_um
    rng = generator(seed, index, Stage.TEXTURE, attempt)
    void = void_mask(passes.phase, recipe.phase_materials)
    grain = texture(recipe, specimen.view, passes.wall, rng)
    prepared = prepare(recipe.imaging.preparation, void, rng)
    rng = generator(seed, index, Stage.IMAGING, attempt)
    images, records = [], []
    for _ in range(recipe.imaging.images_per_specimen):
        conditions = detector.draw_conditions(recipe.imaging, rng)
        surface = grain * prepared.factor, prepared.filled
        images.append(detector.image(passes, recipe.phase_materials, *surface, pixel, conditions, rng))
        records.append(rounded({**conditions.record(), "preparation": prepared.settings}))
    truth = rounded({**coating_truth(section), "attempt": attempt})
    return Sample(index, np.stack(images), passes.phase, passes.instance, pixel, truth, records)


def rounded(value: Any) -> Any:
    """The value with its numbers at 9 significant digits.

    Processors sum in different orders and differ in the last digits, which must not reach the digest.
    """
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _versions() -> dict[str, str]:
    found = {"semforge": semforge.__version__}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
