"""The images on which an arm gains and loses most against the reference, to be looked at."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sem_train.classes import ClassMap
from sem_train.config import UNLABELLED
from sem_train.experiments.analysis import Analysis
from sem_train.experiments.results import NO_REAL, ImageResult
from sem_train.experiments.verdict import MAIN, signed
from sem_train.overlays import overlay
from sem_train.report import data_uri
from semforge.errors import InputError

Load = Callable[[ImageResult], tuple[np.ndarray, np.ndarray, np.ndarray]]  # image, true and predicted class ids (H, W)


@dataclass(frozen=True)
class Case:
    """One test image under an arm and under the reference with the same seed."""

    arm: ImageResult
    reference: ImageResult
    gain: float  # in mean IoU of this image


@dataclass(frozen=True)
class CaseRow:
    """A case as the page shows it; pictures are data URIs."""

    caption: str
    heads: tuple[str, ...]
    pictures: tuple[str, ...]  # micrograph, true, reference, arm; empty if they cannot be read
    problem: str = ""


def cases(analysis: Analysis, results: Sequence[ImageResult]) -> list[Case]:
    """For each arm its largest gain and its largest loss among all images, seeds and numbers of real images."""
    quantity = analysis.quantity(MAIN)
    others = {(r.asked, r.image, r.seed): r for r in results if r.arm == analysis.reference}
    found = []
    for arm in analysis.arms:
        if arm == analysis.reference:
            continue
        pairs = [(r, others[asked, r.image, r.seed]) for r in results if r.arm == arm
                 for asked in (analysis.asked if r.asked == NO_REAL else (r.asked,))
                 if (asked, r.image, r.seed) in others]  # fmt: skip
        judged = [Case(r, other, quantity.value([r]) - quantity.value([other])) for r, other in pairs]
        judged = sorted((c for c in judged if not math.isnan(c.gain)), key=lambda c: c.gain)
        found += [c for c in reversed(judged[-1:]) if c.gain > 0] + [c for c in judged[:1] if c.gain < 0]
    return found


def case_rows(analysis: Analysis, results: Sequence[ImageResult], classes: ClassMap, load: Load) -> Iterator[CaseRow]:
    """The cases with their pictures; one whose files cannot be read says so."""
    for case in cases(analysis, results):
        arm, reference = case.arm, case.reference
        heads = ("micrograph", "true", reference.arm, arm.arm)
        number = "" if reference.asked == NO_REAL else f" {reference.asked} real"
        caption = (f"{arm.arm}, largest {'gain' if case.gain > 0 else 'loss'}: {arm.image} (specimen {arm.specimen}), "
                   f"mean IoU {signed(case.gain)} against {reference.arm} with{number}, seed {arm.seed}")  # fmt: skip
        if not number:
            caption = caption.replace(" with,", ",")
        try:
            image, truth, predicted = load(arm)
            _, _, expected = load(reference)
        except (InputError, OSError) as error:
            yield CaseRow(caption, heads, (), f"pictures cannot be read: {error}")
            continue
        plain = np.full(truth.shape, UNLABELLED, dtype=np.uint8)
        tinted = (data_uri(overlay(image, labels, classes)) for labels in (plain, truth, expected, predicted))
        yield CaseRow(caption, heads, tuple(tinted))
