"""Pictures with databars and scale bars as instruments and authors draw them."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

TYPEFACES = {name: str(Path(matplotlib.get_data_path()) / "fonts/ttf" / f"{name}.ttf") for name in (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono", "STIXGeneral", "STIXGeneralBol",
)}  # fmt: skip
FIELDS = ("HV 20.0 kV", "WD 9.3 mm", "mag 2 000 x", "det ABS", "HFW 104 um", "3/12/2019")


def font(typeface, size):
    """A typeface by name; Pillow's own, which resembles Helvetica, for any other."""
    return ImageFont.truetype(TYPEFACES[typeface], size) if typeface in TYPEFACES else ImageFont.load_default(size)


def specimen(height=512, width=640, seed=0):
    """Grains of several grey levels with noise."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(height, width)), 12)
    grains = np.digitize(smooth, np.quantile(smooth, [0.2, 0.5, 0.8]))
    return (60 + 35 * grains + rng.normal(0, 9, (height, width))).clip(0, 255).astype(np.uint8)


def with_databar(image, rows=40, paper=0, ink=255, typeface="DejaVuSans", size=16, fields=FIELDS):
    """The image with an information strip of this many rows below it."""
    strip = Image.new("L", (image.shape[1], rows), paper)
    pen = ImageDraw.Draw(strip)
    for i, field in enumerate(fields):
        pen.text(
            (8 + i * image.shape[1] // len(fields), rows // 2), field, fill=ink, font=font(typeface, size), anchor="lm"
        )
    return np.concatenate([image, np.asarray(strip)])


def with_scale_bar(image, label, length, style="below", ink=255, typeface="DejaVuSans-Bold", size=22, corner=(60, 60)):
    """The image with a bar of this length in pixels in its lower left corner, and its label.

    `style`: the label `above` or `below` a thick bar, above a thin line with `ticks` at its ends, in the `gap` of
    such a line, or in a white `box` with a black bar.
    """
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    left, bottom = corner[0], image.shape[0] - corner[1]
    right, middle, letters = left + length - 1, left + length // 2, font(typeface, size)
    if style == "box":
        pen.rectangle([left - 12, bottom - 12, right + 12, bottom + size + 24], fill=255)
        ink = 0
    if style in ("below", "box"):
        pen.rectangle([left, bottom, right, bottom + 5], fill=ink)
        pen.text((middle, bottom + 10), label, fill=ink, font=letters, anchor="mt")
    elif style == "above":
        pen.rectangle([left, bottom, right, bottom + 5], fill=ink)
        pen.text((middle, bottom - 6), label, fill=ink, font=letters, anchor="mb")
    else:
        pen.line([left, bottom, right, bottom], fill=ink, width=2)
        for x in (left, right):
            pen.line([x, bottom - 6, x, bottom + 6], fill=ink, width=1)
        if style == "gap":
            wide = pen.textlength(label, font=letters) + 10
            pen.rectangle([middle - wide / 2, bottom - 6, middle + wide / 2, bottom + 6], fill=255 - ink)
            pen.text((middle, bottom), label, fill=ink, font=letters, anchor="mm")
        else:
            pen.text((middle, bottom - 10), label, fill=ink, font=letters, anchor="mb")
    return np.asarray(picture)
