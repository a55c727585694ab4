"""make_sample: the wiring from a recipe and an index to a labelled micrograph, and nothing else."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from scipy.spatial import QhullError

import semforge
from blender_gen import imaging
from blender_gen.clock import stage
from blender_gen.device import Device
from blender_gen.families import FAMILIES
from blender_gen.recipe import Recipe, recipe_hash, recipe_text
from blender_gen.reimaging import packed
from blender_gen.sample import Header, Sample
from blender_gen.scene import device_name
from blender_gen.seeding import Stage, generator
from blender_gen.texture import texture
from semforge.errors import RejectedSpecimen

MAX_ATTEMPTS = 10
VERSIONED = ("bpy", "numpy", "manifold3d", "scipy")


def make_sample(recipe: Recipe, index: int, seed: int, device: Device = Device()) -> Sample:
    """Draw, cut, render and image sample `index` of the data set `seed`.

    The result depends on recipe, index and seed alone; between kinds of device, pixels through whose
    centre a boundary passes may differ. A rejected draw is replaced by the next attempt, which has a
    seed of its own; the truth says under `rejected` why each one was.

    Raises RejectedSpecimen after MAX_ATTEMPTS rejected draws, DeviceAbsent if there is no such device,
    RenderError if Blender fails.
    """
    name = device_name(device)
    rejected: list[str] = []
    while len(rejected) < MAX_ATTEMPTS:
        try:
            return replace(_attempt(recipe, index, seed, rejected, device), device=name)
        except RejectedSpecimen as rejection:
            rejected.append(str(rejection))
    raise RejectedSpecimen(f"sample {index}: {MAX_ATTEMPTS} draws were rejected, the last one because {rejected[-1]}")


def make_header(recipe: Recipe, seed: int, device: Device = Device()) -> Header:
    """What is true of every sample that is made on `device`. Raises DeviceAbsent if there is no such device."""
    return Header(recipe_text(recipe), recipe_hash(recipe), seed, recipe.phase_names, _versions(), device_name(device))


def _attempt(recipe: Recipe, index: int, seed: int, rejected: list[str], device: Device) -> Sample:
    attempt = len(rejected)
    family = FAMILIES[recipe.family]
    with stage("specimen"):
        try:
            built = family.build(recipe, generator(seed, index, Stage.SPECIMEN, attempt))
        except QhullError as error:  # points without a hull; any other error is one of the program
            raise RejectedSpecimen(f"no hull: {str(error).splitlines()[0]}") from error
    with stage("passes"):
        passes = family.render(built, device)
    with stage("truth"):
        family.audit(built, passes)
        truth = rounded({**family.truth(built, passes), "rejected": rejected})
    pixel = built.view.pixel_size_um
    with stage("target"):
        rng = generator(seed, index, Stage.TEXTURE, attempt)
        appearances = {recipe.phase_names.index(name): look for name, look in recipe.appearances.items()}
        grain = texture(appearances, built.view, passes.wall, rng)
        target = imaging.make_target(passes, recipe.phase_materials, grain, pixel, recipe.imaging.preparation, rng)
    rng = generator(seed, index, Stage.IMAGING, attempt)
    images, records = [], []
    for conditions in imaging.schedule(recipe.imaging, rng):
        with stage("imaging"):
            micrograph = imaging.take(target, conditions, rng)
        images.append(micrograph.image)
        records.append(rounded(micrograph.record))
    kept = packed(passes, grain, recipe) if recipe.imaging.keep_passes else {}
    spectra: dict[str, np.ndarray] = {}
    if recipe.edx is not None:
        from blender_gen.edx.acquisition import acquire  # only then: it loads tables of lines

        with stage("edx"):
            acquired = acquire(recipe, target, passes.instance, generator(seed, index, Stage.EDX, attempt))
        spectra, truth = acquired.arrays, {**truth, "edx": rounded(acquired.record)}
    return Sample(
        index, np.stack(images), passes.phase, passes.instance, pixel, truth, records, passes=kept, edx=spectra
    )


def rounded(value: Any) -> Any:
    """The value with its numbers at 9 significant digits.

    Processors sum in different orders and differ in the last digits, which must not reach the digest.
    Raises RejectedSpecimen if one is not finite.
    """
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        raise RejectedSpecimen(f"a number of its truth is {value}")
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _versions() -> dict[str, str]:
    found = {"semforge": semforge.__version__}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
