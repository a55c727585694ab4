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
SUFFIXES = (".png", ".pdf", ".svg", ".jpg")


def refuse_bad_target(out: Path) -> None:
    """Raise InputError, before any work is done, if no picture can be written to `out`."""
    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: cannot write this kind of picture, expected one of {', '.join(SUFFIXES)}")
    if out.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of a picture to write")


def draw_preview(samples: list[Sample], phase_names: tuple[str, ...], out: Path) -> None:
    """One row a sample: the micrographs, then the label map with its phases named."""
    columns = samples[0].image.shape[0] + 1
    height, width = samples[0].phase.shape
    figure = Figure(figsize=(5 * columns + 1.6, 5 * len(samples) * height / width), dpi=150, layout="constrained")
    axes = figure.subplots(len(samples), columns, squeeze=False)
    colours = np.concatenate([matplotlib.colormaps[name](range(n)) for name, n in PALETTES])
    colours = colours[np.arange(len(phase_names)) % len(colours)]
    for row, sample in zip(axes, samples, strict=True):
        for axis, image in zip(row, sample.image, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=np.iinfo(image.dtype).max, interpolation="nearest")
        row[-1].imshow(colours[sample.phase], interpolation="nearest")
        _scale_bar(row[-1], width, height, sample.pixel_size_um)  # here it hides no bar of the micrograph's own
        handles = [Patch(color=colours[i], label=phase_names[i]) for i in np.unique(sample.phase)]
        row[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
        row[0].set_title(f"sample {sample.index}", loc="left", fontsize=8)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    with whole_file(out) as temporary:
        figure.savefig(temporary)


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
