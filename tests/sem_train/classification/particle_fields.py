"""Micrographs with discs, spectra with lines, and a classifier that can be foreseen, for tests of prediction."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sem_train.classification.composition import width_ev
from sem_train.classification.field import Answer
from semforge.spectra import EnergyAxis
from semforge.spectra.lines import lines_of

AXIS = EnergyAxis(1024, 10.0)
CLASSES = ("small", "large")


def discs(shape=(80, 100), places=((20, 20, 6), (20, 60, 12), (55, 40, 9))):
    """Instance map (H, W) of discs (row, column, radius), numbered from 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    numbers = np.zeros(shape, np.uint8)
    for k, (r, c, radius) in enumerate(places, start=1):
        numbers[(rows - r) ** 2 + (columns - c) ** 2 <= radius**2] = k
    return numbers


def write_field(folder, name, numbers=None):
    """A micrograph of bright discs and its instance map below maps/."""
    numbers = discs() if numbers is None else numbers
    rng = np.random.default_rng(0)
    grey = np.where(numbers > 0, 180, 60) + rng.normal(0, 4, numbers.shape)
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    Image.fromarray(numbers).save(folder / "maps" / f"{name}.png")
    return folder / f"{name}.png"


def spectrum_of(elements, counts=20000.0, axis=AXIS, beam_kev=15.0, background=0.2):
    """Expected counts (C,) of K lines of elements by their shares, on a background that falls off."""
    energies = axis.energies_kev
    found = background * counts * np.exp(-energies) / np.exp(-energies).sum()
    for element, share in elements.items():
        lines = [line for line in lines_of(element, beam_kev) if line.shell == "K"]
        total = sum(line.weight for line in lines)
        for line in lines:
            sd = float(width_ev(line.energy_kev)) / 2354.8
            peak = np.exp(-0.5 * ((energies - line.energy_kev) / sd) ** 2)
            found += counts * share * line.weight / total * peak / peak.sum()
    return found


@dataclass
class BySize:
    """Names particles by their longer side; by iron in the spectrum where it reads spectra."""

    classes: tuple = CLASSES
    axis: EnergyAxis | None = None
    sees_image: bool = True
    fewest_counts: int = 20
    calls: int = 0
    stop_at: int | None = None  # is interrupted at that call

    def crops(self, image, objects, pixel_size_um):
        assert image.shape == objects.shape
        areas = np.bincount(objects.ravel())[1:]
        return areas

    def answer(self, crops, which, spectra):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        large = np.zeros(len(which)) if crops is None else (crops[which] > 200) * 1.0
        if spectra is not None:
            large = (spectra[:, 600:680].sum(axis=1) > 0.2 * spectra.sum(axis=1)) * 1.0
        p = np.stack([0.9 - 0.8 * large, 0.1 + 0.8 * large], axis=1)
        return Answer(p, np.zeros(len(which), bool))
