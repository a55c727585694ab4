"""Pictures of characters in several typefaces, to compare lettering with."""

from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from sem_train.micrographs.scale_bar.words import pieces

TYPEFACES = (
    "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf", "STIXGeneral.ttf", "STIXGeneralBol.ttf", "cmr10.ttf", "cmss10.ttf",
)  # fmt: skip
DRAWN_PX = 48  # size at which characters are drawn
SIDE = 24  # pixels of a picture of a character
BLUR = 1.0  # pixels: pictures of small letters are that soft, those of large ones are made so
# of the differences in height, width, top and bottom against that of the picture; a 1 is narrower than a 4
SHAPE_WEIGHTS = np.array([0.15, 0.4, 0.15, 0.15], dtype=np.float32)


@cache
def faces() -> tuple[str, ...]:
    """Names of the typefaces, in the order of `templates`."""
    return ("Aileron", *TYPEFACES)


@cache
def templates() -> tuple[np.ndarray, np.ndarray]:
    """Of each typeface and piece: picture (F, P, SIDE²), of mean 0 and length 1; and shape (F, P, 4).

    The shape is height, width, top and bottom against the baseline (up is positive), in heights of the digit 1.
    """
    import matplotlib  # for its typefaces, and only where a label is read

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    loaders = [ImageFont.load_default, *(partial(ImageFont.truetype, str(folder / name)) for name in TYPEFACES)]
    pictures, shapes = [], []
    for load in loaders:
        font = load(size=DRAWN_PX)
        tall = -_ink(font, "1")[1][0]
        drawn = [_ink(font, piece) for piece in pieces()]
        pictures.append([normal_picture(ink) for ink, _ in drawn])
        shapes.append([shape_of(top, bottom, ink.shape[1], tall) for ink, (top, bottom) in drawn])
    return np.array(pictures, dtype=np.float32), np.array(shapes, dtype=np.float32)


def normal_picture(ink: np.ndarray) -> np.ndarray:
    """A picture of a character (h, w), ink positive, stretched to a square; (SIDE²,) of mean 0 and length 1."""
    square = Image.fromarray(ink.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX if min(ink.shape) > SIDE
                                                            else Image.Resampling.BILINEAR)  # fmt: skip
    flat = ndimage.gaussian_filter(np.asarray(square, dtype=np.float32), BLUR).ravel()
    flat = flat - flat.mean()
    return flat / max(float(np.linalg.norm(flat)), 1e-6)


def shape_of(top: float, bottom: float, width: float, tall: float) -> tuple[float, float, float, float]:
    """Height, width, top and bottom against the baseline, for rows counted downwards from it."""
    return (bottom - top) / tall, width / tall, -top / tall, -bottom / tall


def _ink(font: ImageFont.FreeTypeFont, text: str) -> tuple[np.ndarray, tuple[float, float]]:
    """The drawn text cut to its ink, and the first row and the one behind the last, from the baseline."""
    canvas = Image.new("L", (4 * DRAWN_PX * len(text), 4 * DRAWN_PX))
    ImageDraw.Draw(canvas).text((DRAWN_PX, 2 * DRAWN_PX), text, fill=255, font=font, anchor="ls")
    ink = np.asarray(canvas, dtype=np.float32) / 255
    rows, columns = np.nonzero(ink.max(axis=1) > 0.5)[0], np.nonzero(ink.max(axis=0) > 0.5)[0]
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut, (rows[0] - 2 * DRAWN_PX, rows[-1] + 1 - 2 * DRAWN_PX)
