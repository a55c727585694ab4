"""What decided, drawn: the crop, the crop with the places that spoke for the class, and the spectrum with its lines."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image

from sem_train.classification.explain import LinePart
from sem_train.spectra.contents import ShownSpectrum
from sem_train.spectra.figures import as_png, spectrum_figure
from semforge.spectra import EnergyAxis

SIDE_PX = 320  # of a crop as it is drawn
GAP_PX = 8
HEAT_COLOURS = "inferno"
OPACITY = 0.55  # of the strongest heat
SPECTRUM_PX = 980  # width of the spectrum


def shown_spectrum(
    name: str, counts: np.ndarray, axis: EnergyAxis, beam_kev: float | None, elements: tuple[str, ...],
    parts: Sequence[LinePart],
) -> ShownSpectrum:  # fmt: skip
    """A spectrum whose deciding lines are shaded by their part in the decision, against those that spoke against it."""
    strongest = max((abs(part.part) for part in parts), default=0.0)
    shaded = tuple((p.low_kev, p.high_kev, p.part / strongest) for p in parts) if strongest > 0 else ()
    return ShownSpectrum(name, counts, axis, beam_kev, elements, deciding=shaded)


def explained_picture(crop: np.ndarray | None, heat: np.ndarray | None, spectrum: ShownSpectrum | None) -> np.ndarray:
    """(H, W, 3) uint8 of a crop (side, side) uint8 with its heat (side, side) of 0 to 1, above a spectrum.

    Any of them may be missing; of nothing it is one white pixel.
    """
    rows = []
    if crop is not None:
        panels = [_enlarged(np.repeat(crop[..., None], 3, axis=-1))]
        if heat is not None:
            panels += [np.full((SIDE_PX, GAP_PX, 3), 255, np.uint8), _heated(crop, heat)]
        rows.append(np.concatenate(panels, axis=1))
    if spectrum is not None:
        picture = Image.open(io.BytesIO(as_png(spectrum_figure(spectrum)))).convert("RGB")
        rows.append(np.asarray(picture.resize((SPECTRUM_PX, round(SPECTRUM_PX * picture.height / picture.width)))))
    wide = max((row.shape[1] for row in rows), default=1)
    white = lambda height, width: np.full((height, width, 3), 255, np.uint8)
    padded = [np.concatenate([row, white(row.shape[0], wide - row.shape[1])], axis=1) for row in rows]
    return np.concatenate(padded) if padded else white(1, 1)


def _heated(crop: np.ndarray, heat: np.ndarray) -> np.ndarray:
    colour = 255 * matplotlib.colormaps[HEAT_COLOURS](heat)[..., :3]
    opacity = OPACITY * heat[..., None]
    return _enlarged(np.rint((1 - opacity) * crop[..., None] + opacity * colour).astype(np.uint8))


def _enlarged(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))
