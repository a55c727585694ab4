"""Results of an experiment as if it had been run, with differences that are known."""

import numpy as np

from sem_train.classes import ClassMap
from sem_train.experiments.results import ImageResult, Measured, Score

NAMES = ("background", "oxide", "crack")
CLASSES = ClassMap.model_validate({"classes": [
    {"name": "background", "values": [0]}, {"name": "oxide", "role": "layer", "values": [1]},
    {"name": "crack", "role": "crack", "host": "oxide", "values": [2]},
]})  # fmt: skip
ASKED = ("1", "4", "all")
PIXELS = (60_000, 36_000, 4_000)


def counts_of(oxide: float, crack: float, cracked: bool = True) -> list[list[int]]:
    """Confusion counts with these IoUs, as near as whole pixels allow; mistakes are between class and background."""
    counts = np.zeros((3, 3), dtype=int)
    counts[0, 0] = PIXELS[0]
    for i, overlap in ((1, oxide), (2, crack)):
        if i == 2 and not cracked:
            continue
        wrong = round(PIXELS[i] * (1 - overlap) / (1 + overlap))
        counts[i, i], counts[i, 0], counts[0, i] = PIXELS[i] - wrong, wrong, wrong
    return counts.tolist()


def result(
    arm, specimen, oxide, crack=0.4, *, asked="all", fold=0, seed=0, image=None, cracked=True, thickness=1.0,
    found=True,
) -> ImageResult:  # fmt: skip
    """One image; `thickness` is the error in pixels."""
    score = Score(
        counts_of(oxide, crack, cracked),
        {"background": 2.0, "oxide": 10 * (1 - oxide), "crack": 5.0 if cracked else None},
        {"oxide": Measured(100.0, 100.0 + thickness if found else None)}, {"crack": Measured(2.0, 2.5)},
    )  # fmt: skip
    image = image or f"{specimen}-1"
    real = {"1": 1, "4": 4, "all": 9, "none": 0}.get(asked, 9)
    path = f"cells/{arm}-{asked}-{seed}/{image}.png"
    return ImageResult(arm, real, asked, fold, seed, image, specimen, score, 60.0, path)


def experiment(
    seeds=(0, 1, 2), gain=None, specimens=9, noise=0.01, luck=0.005, synthetic=-0.08, random=0, asked=ASKED
) -> list[ImageResult]:  # fmt: skip
    """Real images, a mixture that gains `gain[asked]` in the IoU of oxide (twice that in crack's), and synthetic alone.

    Three folds. Every fourth specimen has two images, the last one no cracks.
    """
    gain = {"1": 0.12, "4": 0.04, "all": 0.0} if gain is None else gain
    base = {"1": 0.70, "4": 0.80, "all": 0.87}
    rng = np.random.default_rng(random)
    own = rng.normal(0, 0.03, specimens)
    likes = {(arm, a, s): rng.normal(0, noise) for arm in ("mixed", "synthetic") for a in (*asked, "none")
             for s in range(specimens)}  # fmt: skip
    rows = []
    for seed in seeds:
        for number in (*asked, "none"):
            for arm in ("real_only", "mixed") if number != "none" else ("synthetic",):
                for fold in range(3):
                    shared = rng.normal(0, luck)
                    for s in range(fold, specimens, 3):
                        level = base.get(number, base["all"] + synthetic) + own[s] + shared + rng.normal(0, noise / 3)
                        level += likes.get((arm, number, s), 0.0) + (gain[number] if arm == "mixed" else 0.0)
                        crack = level - 0.45 + (gain[number] if arm == "mixed" else 0.0)
                        for k in range(1 + (s % 4 == 0)):
                            rows.append(result(
                                arm, f"s{s}", float(np.clip(level - 0.01 * k, 0, 1)), float(np.clip(crack, 0, 1)),
                                asked=number, seed=seed, image=f"s{s}-{k}", cracked=s != specimens - 1,
                                fold=-1 if number == "none" else fold, thickness=10 * (0.9 - level),
                                found=not (number == "1" and s == 2),
                            ))  # fmt: skip
    return rows
