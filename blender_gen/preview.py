"""Pictures of samples for people to look at: micrograph, label map, scale bar."""

from pathlib import Path

import matplotlib
import matplotlib.patheffects
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from blender_gen.sample import Sample
from semforge.errors import InputError
from semforge.files import whole_file

PALETTES = (("tab10", 10), ("Set2", 8), ("Pastel1", 9))  # qualitative, by name and length
LOWEST_KEV = 0.15  # below it there is no line, only noise
SUFFIXES = (".png", ".pdf", ".svg", ".jpg")


def refuse_bad_target(out: Path) -> None:
    """Raise InputError, before any work is done, if no picture can be written to `out`."""
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: cannot write this kind of picture, expected one of {', '.join(SUFFIXES)}")
    if out.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of a picture to write")


def draw_preview(samples: list[Sample], phase_names: tuple[str, ...], out: Path) -> None:
    """One row a sample: the micrographs, the label map with its phases named, then spectra if there are any."""
    spectra = any(name in samples[0].edx for name in ("particle_spectra", "spectrum_image"))
    columns = samples[0].image.shape[0] + 1 + spectra
    height, width = samples[0].phase.shape
    figure = Figure(figsize=(5 * columns + 1.6, 5 * len(samples) * height / width), dpi=150, layout="constrained")
    axes = figure.subplots(len(samples), columns, squeeze=False)
    colours = np.concatenate([matplotlib.colormaps[name](range(n)) for name, n in PALETTES])
    colours = colours[np.arange(len(phase_names)) % len(colours)]
    for row, sample in zip(axes, samples, strict=True):
        for axis, image in zip(row, sample.image, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=np.iinfo(image.dtype).max, interpolation="nearest")
        labels = row[len(sample.image)]
        labels.imshow(colours[sample.phase], interpolation="nearest")
        _scale_bar(labels, width, height, sample.pixel_size_um)  # here it hides no bar of the micrograph's own
        handles = [Patch(color=colours[i], label=phase_names[i]) for i in np.unique(sample.phase)]
        row[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
        row[0].set_title(f"sample {sample.index}", loc="left", fontsize=8)
        for axis in row[: len(sample.image) + 1]:
            axis.set_xticks([])
            axis.set_yticks([])
        if spectra:
            _draw_spectra(row[-1], sample, colours)
    with whole_file(out) as temporary:
        figure.savefig(temporary)


def spectra_of_phases(sample: Sample) -> dict[int, np.ndarray]:
    """Mean spectrum (C,) of each phase id: of its pixels where there is a spectrum image, else of its particles."""
    if "spectrum_image" in sample.edx:
        counts, size = sample.edx["spectrum_image"], sample.truth["edx"]["binning"]
        phase = sample.phase[size // 2 :: size, size // 2 :: size][: counts.shape[0], : counts.shape[1]]
        return {int(k): counts[phase == k].mean(axis=0) for k in np.unique(phase)}
    stored = zip(sample.edx["particle_instance"], sample.edx["particle_spectra"], strict=True)
    of_phase: dict[int, list[np.ndarray]] = {}
    for instance, counts in stored:
        if instance:
            of_phase.setdefault(int(sample.phase[sample.instance == instance][0]), []).append(counts)
    return {k: np.mean(spectra, axis=0) for k, spectra in sorted(of_phase.items())}


def _draw_spectra(axis: matplotlib.axes.Axes, sample: Sample, colours: np.ndarray) -> None:
    """Each phase's spectrum over its largest count, one above the other, with the lines of the elements named."""
    said = sample.truth["edx"]
    energies = (said["axis"]["offset_ev"] + said["axis"]["width_ev"] * np.arange(said["axis"]["channels"])) / 1000
    seen = energies > LOWEST_KEV
    found = spectra_of_phases(sample)
    for level, (phase, counts) in enumerate(found.items()):
        height = counts[seen] / max(float(counts[seen].max()), 1e-9)
        axis.plot(energies[seen], level + 0.95 * np.sqrt(height), color=colours[phase], lw=0.7)
    for window in said["windows"]:
        energy = (window["low_kev"] + window["high_kev"]) / 2
        axis.text(energy, len(found) + 0.05, window["element"], ha="center", fontsize=6)
        axis.axvline(energy, color="0.85", lw=0.5, zorder=0)
    axis.set(xlim=(0, min(energies[-1], said["beam_kev"])), ylim=(0, len(found) + 0.3), yticks=[])
    axis.set_xlabel("energy / keV; heights are roots of counts", fontsize=8)
    axis.tick_params(labelsize=7)


def _scale_bar(axis: matplotlib.axes.Axes, width: int, height: int, pixel_size_um: float) -> None:
    target = 0.2 * width * pixel_size_um
    magnitude = 10 ** np.floor(np.log10(target))
    length_um = max(n for n in (magnitude, 2 * magnitude, 5 * magnitude) if n <= target)
    length, left, top = length_um / pixel_size_um, 0.05 * width, 0.94 * height
    axis.add_patch(matplotlib.patches.Rectangle((left, top), length, 0.012 * height, color="white", ec="black", lw=0.5))
    outline = matplotlib.patheffects.withStroke(linewidth=1.5, foreground="black")
    label = f"{length_um:g} µm" if length_um >= 1 else f"{1000 * length_um:g} nm"
    axis.text(left + length / 2, top - 0.012 * height, label, color="white", ha="center", va="bottom",
              fontsize=8, path_effects=[outline])  # fmt: skip
