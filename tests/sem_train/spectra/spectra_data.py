"""Small libraries and spectrum images whose phases are told apart by one line each."""

from pathlib import Path

import numpy as np

from semforge.spectra import (
    EnergyAxis,
    Spectrum,
    SpectrumImage,
    SpectrumLibrary,
    write_emsa,
    write_library,
    write_spectrum_image,
)

AXIS = EnergyAxis(128, 40.0)
PHASES = {"quartz": (0.52, 1.74), "calcite": (0.52, 3.69), "hematite": (0.52, 6.4 * 0.75), "albite": (0.52, 1.04)}
VARIANTS = 6


def expected(name: str, variant: int = 0, axis: EnergyAxis = AXIS) -> np.ndarray:
    """Lines of 0.08 keV sigma, the second one's height differing from variant to variant, on a background."""
    energies = axis.energies_kev
    first, second = PHASES[name]
    line = lambda centre: np.exp(-0.5 * ((energies - centre) / 0.08) ** 2)
    return line(first) + (0.8 + 0.08 * variant) * line(second) + 0.02 * np.exp(-energies / 2)


def library(names: tuple[str, ...] = tuple(PHASES), axis: EnergyAxis = AXIS) -> SpectrumLibrary:
    spectra = np.stack([[expected(name, v, axis) for v in range(VARIANTS)] for name in names]).astype(np.float32)
    return SpectrumLibrary(names, spectra, axis, tuple({"beam_kev": 15.0} for _ in range(VARIANTS)))


def write_tiny_library(path: Path) -> Path:
    write_library(path, library())
    return path


def labelled_counts(
    height: int = 24, width: int = 20, dose: float = 300, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (H, W, C) of stripes of the phases, and their labels."""
    labels = np.broadcast_to(np.arange(width) * len(PHASES) // width, (height, width))
    spectra = np.stack([expected(name) for name in PHASES])
    spectra *= dose / spectra.sum(-1, keepdims=True)
    return np.random.default_rng(seed).poisson(spectra[labels]).astype(np.uint16), labels


def write_image(path: Path, counts: np.ndarray, axis: EnergyAxis = AXIS, beam_kev: float | None = 15.0) -> Path:
    write_spectrum_image(path, SpectrumImage(counts, axis, pixel_size_um=0.5, beam_kev=beam_kev, title=path.stem))
    return path


def write_point(path: Path, counts: np.ndarray, axis: EnergyAxis = AXIS, beam_kev: float | None = 15.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_emsa(path, Spectrum(counts, axis, beam_kev=beam_kev, title=path.stem))
    return path
