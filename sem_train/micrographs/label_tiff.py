"""Label maps as TIFF that ImageJ, Fiji and napari open in the colours of the classes and at the right scale."""

from pathlib import Path

import numpy as np
import tifffile

from sem_train.classes import ClassMap
from sem_train.colours import COLOURS, is_tinted
from sem_train.micrographs.notes import CLASSES_KEY
from semforge.files import whole_file

UNTINTED, UNLABELLED_GREY = 0, 128  # grey levels of what is around the specimen, and of ids without a class
UNIT = "um"  # ImageJ shows it as µm


def write_label_tiff(path: Path, labels: np.ndarray, classes: ClassMap, pixel_size_um: float | None = None) -> None:
    """Write (H, W) uint8 class ids as a palette TIFF in ImageJ's form, whole or not at all.

    The palette has the colours of overlays, the calibration is the pixel size in µm where it is known, and ImageJ's
    info text (Image › Show Info) says what the ids mean, which `read_label_map` reads.
    """
    scale = {"unit": UNIT} if pixel_size_um is not None else {}
    resolution = {} if pixel_size_um is None else {"resolution": (1 / pixel_size_um, 1 / pixel_size_um)}
    info = f"{CLASSES_KEY}: {classes.to_json()}\n" + "".join(f"{i}: {n}\n" for i, n in enumerate(classes.names))
    with whole_file(path) as temporary:
        tifffile.imwrite(
            temporary,
            np.ascontiguousarray(labels, dtype=np.uint8),
            imagej=True,
            photometric="palette",
            colormap=_palette(classes),
            metadata={"Info": info, "axes": "YX", **scale},
            **resolution,
        )


def noted_classes(file: tifffile.TiffFile) -> str | None:
    """The class map as JSON that `write_label_tiff` left in a file; None where there is none."""
    info = str((file.imagej_metadata or {}).get("Info", ""))
    lines = [line.removeprefix(f"{CLASSES_KEY}: ") for line in info.splitlines() if line.startswith(f"{CLASSES_KEY}: ")]
    return lines[0] if lines else None


def _palette(classes: ClassMap) -> np.ndarray:
    """(3, 256) uint16."""
    palette = np.full((256, 3), UNLABELLED_GREY, dtype=np.uint16)
    for i, kind in enumerate(classes.classes):
        palette[i] = COLOURS[i % len(COLOURS)] if is_tinted(kind.role) else UNTINTED
    return np.ascontiguousarray((palette * 257).T)
