"""Random numbers that depend on nothing but (data set seed, sample index, stage, attempt)."""

from enum import IntEnum

import numpy as np


class Stage(IntEnum):
    """One independent stream a stage, so that changing one stage leaves the others as they were."""

    SPECIMEN = 0
    TEXTURE = 1
    IMAGING = 2
    EDX = 3


def generator(seed: int, index: int, stage: Stage, attempt: int = 0) -> np.random.Generator:
    """The generator of one stage of one sample. Seed 0 is a seed like any other."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(index, int(stage), attempt)))
