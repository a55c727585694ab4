"""Families of specimens: parameters and a generator in, geometry, passes and truth out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from blender_gen.deposits.view import audit_deposit, render_deposit
from blender_gen.device import Device
from blender_gen.families.coating import make_coating
from blender_gen.families.mudrock import make_mudrock
from blender_gen.families.particles import make_deposit
from blender_gen.passes import Passes
from blender_gen.section import Section, audit, cut
from blender_gen.truth.coating import coating_truth
from blender_gen.truth.mudrock import mudrock_truth
from blender_gen.truth.particles import deposit_truth
from blender_gen.views import render_section


@dataclass(frozen=True)
class Family:
    """What the pipeline asks of a family. `Built` is the family's own; all it must have is a `view`."""

    build: Callable[[Any, np.random.Generator], Any]  # recipe, generator -> Built; RejectedSpecimen if it cannot be
    render: Callable[[Any, Device], Passes]  # Built, on what to render -> what the beam sees
    audit: Callable[[Any, Passes], None]  # label map against exact geometry; RejectedSpecimen if they differ
    truth: Callable[[Any, Passes], dict[str, Any]]  # Built, passes -> what the specimen is, as stored with a sample


def _coating(recipe: Any, rng: np.random.Generator) -> Section:
    return cut(make_coating(recipe, rng))


def _mudrock(recipe: Any, rng: np.random.Generator) -> Section:
    return cut(make_mudrock(recipe, rng))


FAMILIES: dict[str, Family] = {
    "coating": Family(
        build=_coating,
        render=render_section,
        audit=lambda section, passes: audit(section, passes.phase),
        truth=lambda section, passes: coating_truth(section),
    ),
    "mudrock": Family(
        build=_mudrock,
        render=render_section,
        audit=lambda section, passes: audit(section, passes.phase),
        truth=lambda section, passes: mudrock_truth(section),
    ),
    "particles": Family(build=make_deposit, render=render_deposit, audit=audit_deposit, truth=deposit_truth),
}
