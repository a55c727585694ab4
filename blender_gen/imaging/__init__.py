"""From specimen to micrograph: `make_target` once a specimen, `schedule` and `take` for each picture of it."""

from blender_gen.imaging.conditions import Conditions, schedule
from blender_gen.imaging.micrograph import Micrograph, take
from blender_gen.imaging.target import Target, make_target

__all__ = ["Conditions", "Micrograph", "Target", "make_target", "schedule", "take"]
