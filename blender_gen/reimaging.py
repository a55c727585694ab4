"""New micrographs of stored specimens, without Blender: what a sample keeps for them, and how they are taken.

A sample whose recipe says `imaging.keep_passes` keeps, besides its label maps,

===========  ============  =======  ===============================================================
height_um    (H, W)        float32  of the solid that the beam hits, over the reference plane
normal       (2, H, W)     int16    x and y of its normal, full scale 1; z is never below 0
wall         (H, W)        uint8    its phase, in `phase_materials` of the recipe
texture      (H, W)        float16  factor on its yields, brightness of the bodies included
path_um      (P, H, W)     float16  way of the beam through each material; transmission only
===========  ============  =======  ===============================================================

Each micrograph has conditions of its own, drawn from the recipe, and a preparation of its own: the same section,
polished anew. The label maps hold for all of them.
"""

from itertools import islice

import numpy as np

from blender_gen import imaging
from blender_gen.imaging import Micrograph, Target
from blender_gen.passes import Passes
from blender_gen.recipe import Recipe, parse_recipe
from blender_gen.sample import SampleFile
from semforge.errors import InputError

NORMAL_SCALE = np.iinfo(np.int16).max


def packed(passes: Passes, texture: np.ndarray, recipe: Recipe) -> dict[str, np.ndarray]:
    """What a sample keeps of its passes and of its texture (H, W), by name."""
    factor = texture if passes.shade is None else texture * passes.shade
    kept = {
        "height_um": passes.height_um.astype(np.float32),
        "normal": np.rint(np.moveaxis(passes.normal[..., :2], -1, 0) * NORMAL_SCALE).astype(np.int16),
        "wall": passes.wall,
        "texture": factor.astype(np.float16),
    }
    if recipe.imaging.needs_paths:
        kept["path_um"] = np.zeros((len(recipe.phase_materials), *passes.phase.shape), dtype=np.float16)
        for material, path_um in passes.path_um.items():
            kept["path_um"][material] = path_um
    return kept


def unpacked(kept: dict[str, np.ndarray], phase: np.ndarray, instance: np.ndarray) -> tuple[Passes, np.ndarray]:
    """Passes and texture of what a sample has kept, within its precision."""
    x, y = kept["normal"].astype(np.float32) / NORMAL_SCALE
    normal = np.stack([x, y, np.sqrt(np.clip(1 - x * x - y * y, 0, 1))], axis=-1)
    stored = kept.get("path_um", ())
    paths = {material: path.astype(np.float32) for material, path in enumerate(stored) if material == 0 or path.any()}
    return Passes(phase, instance, kept["height_um"], normal, kept["wall"], paths), kept["texture"].astype(np.float32)


class Microscope:
    """Takes new micrographs of the specimens of one sample file.

    Raises InputError if the file keeps no passes, or its recipe is not one of this version.
    """

    def __init__(self, file: SampleFile):
        if not file.pass_names:
            raise InputError(f"{file.path}: keeps no passes, so no new micrographs can be taken; render it with "
                             "imaging.keep_passes=true")  # fmt: skip
        self.file = file
        self.recipe: Recipe = parse_recipe(file.header.recipe, f"{file.path}: its recipe")

    def target(self, position: int, rng: np.random.Generator) -> Target:
        """The specimen at `position`, prepared anew."""
        file, recipe = self.file, self.recipe
        passes, texture = unpacked(file.passes(position), file.phase(position), file.instance(position))
        pixel_um, preparation = float(file.pixel_size_um[position]), recipe.imaging.preparation
        return imaging.make_target(passes, recipe.phase_materials, texture, pixel_um, preparation, rng)

    def take(self, position: int, k: int, rng: np.random.Generator) -> Micrograph:
        """A new micrograph of the specimen at `position` by the detector of its k-th stored one."""
        target = self.target(position, rng)
        conditions = next(islice(imaging.schedule(self.recipe.imaging, rng), k, None))
        return imaging.take(target, conditions, rng)
