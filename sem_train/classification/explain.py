"""What decided that a particle was given its name: places of its picture, and lines of its spectrum.

Places, by Grad-CAM (Selvaraju et al. 2017, 10.1109/ICCV.2017.74): the last feature maps of the image branch, each
weighted with what the class's logit gains by it, and what is left above zero.

Lines, by leaving them out: the counts that a line has above what it stands on are taken away, and what the logit of the
class, less the mean of the others, loses is the line's part. Lines that a detector does not separate go together. A
class can also be named for a line that is missing; that is not asked here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sem_train.classification.composition import ELEMENTS, RESOLUTION_EV, background, intensities, width_ev
from semforge.spectra import EnergyAxis
from semforge.spectra.lines import likely_labels

WINDOW = 1.2  # half width of a line's window, in its full widths at half maximum
APART = 0.8  # lines nearer than that many full widths are one
FEWEST_COUNTS = 10.0  # net counts of a line that can have decided anything
BEAM_KEV = 20.0  # where nothing says what the beam was


@dataclass(frozen=True)
class LinePart:
    """One line, or several that the detector does not separate, and its part in a decision."""

    name: str  # "Si Kα", "S Kα + Pb Mα"
    low_kev: float  # of its window
    high_kev: float
    net: float  # counts that were taken away
    part: float  # what the logit of the class, less the mean of the others, loses without them


def grad_cam(maps: nn.Module, logits: Callable[[], torch.Tensor], target: int, side_px: int) -> np.ndarray:
    """Where the evidence for class `target` lies in a crop: (side, side) float32, 0 to 1; all 0 if nowhere.

    `maps` is the module whose last feature maps (1, channels, h, w) are weighed, `logits` runs the network that holds
    it on one particle and gives (1, classes).
    """
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())  # what is asked for is by the maps, so weights may be frozen
        return kept[-1]

    hook = maps.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            score = logits()[0, target]
            (gradient,) = torch.autograd.grad(score, kept[-1])
    finally:
        hook.remove()
    features = kept[-1].detach()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    heat = torch.relu((weights * features).sum(dim=1, keepdim=True))
    heat = F.interpolate(heat, size=(side_px, side_px), mode="bilinear", align_corners=False)[0, 0]
    highest = float(heat.max())
    return (heat / highest if highest > 0 else heat).cpu().numpy().astype(np.float32)


def deciding_lines(
    counts: np.ndarray, axis: EnergyAxis, target: int, logits: Callable[[np.ndarray], np.ndarray],
    beam_kev: float | None = None, resolution_ev: float = RESOLUTION_EV, elements: Sequence[str] = ELEMENTS,
) -> tuple[LinePart, ...]:  # fmt: skip
    """Parts of the lines of a spectrum (C,) in naming it class `target`, the weightiest first; empty without counts.

    `logits` gives (n, classes) of spectra (n, C).
    """
    counts = np.asarray(counts, dtype=np.float64)
    if not counts.sum() > 0:
        return ()
    floor = background(counts, axis, resolution_ev)
    groups = _groups(counts, axis, beam_kev or min(BEAM_KEV, axis.high_kev), resolution_ev, elements)
    without, about = [counts], []
    for names, low, high, _ in groups:
        window = axis.channels_between(low, high)
        net = np.maximum(counts[window] - np.maximum(floor[window], 0), 0)
        if net.sum() >= FEWEST_COUNTS:
            changed = counts.copy()
            changed[window] -= net
            without.append(changed)
            about.append((" + ".join(names), low, high, float(net.sum())))
    if not about:
        return ()
    margins = _margins(np.asarray(logits(np.stack(without))), target)
    parts = [LinePart(*line, float(margins[0] - m)) for line, m in zip(about, margins[1:], strict=True)]
    return tuple(sorted(parts, key=lambda part: -part.part))


def shares_of_parts(parts: Sequence[LinePart], most: int = 5) -> tuple[tuple[str, float], ...]:
    """Names of the lines that spoke for the class, and their shares of all that did, the weightiest first."""
    total = sum(max(part.part, 0.0) for part in parts)
    return tuple((p.name, round(p.part / total, 4)) for p in parts[:most] if p.part > 0) if total > 0 else ()


def _margins(logits: np.ndarray, target: int) -> np.ndarray:
    others = np.delete(logits, target, axis=1)
    return logits[:, target] - others.mean(axis=1)


def _groups(
    counts: np.ndarray, axis: EnergyAxis, beam_kev: float, resolution_ev: float, elements: Sequence[str]
) -> list[tuple[list[str], float, float, float]]:
    """Lines of the elements detected, those that overlap together: names, window from and to, and centre in keV."""
    found = [e for e in intensities(counts, axis, beam_kev, elements, resolution_ev) if e.detected]
    net = {e.element: e.net for e in found}
    lines = [line for line in likely_labels(net, beam_kev, last_kev=axis.high_kev) if axis.covers(line.energy_kev)]
    groups: list[tuple[list[str], float, float, float]] = []
    for line in sorted(lines, key=lambda line: -net[line.element]):
        full = float(width_ev(line.energy_kev, resolution_ev)) / 1000
        near = next((g for g in groups if abs(g[3] - line.energy_kev) < APART * full), None)
        if near is not None:
            near[0].append(line.name)
            continue
        low, high = line.energy_kev - WINDOW * full, line.energy_kev + WINDOW * full
        for _, others_low, others_high, centre in groups:  # stronger lines keep theirs
            if centre < line.energy_kev:
                low = max(low, min(others_high, (centre + line.energy_kev) / 2))
            else:
                high = min(high, max(others_low, (centre + line.energy_kev) / 2))
        groups.append(([line.name], low, high, line.energy_kev))
    return groups
