"""What happens to a picture after the microscope: lettering, resampling, sharpening, compression.

Nothing here touches a label map. A databar replaces the lowest rows of the picture, and the record says how many
(`databar_px`), so that training can leave them out; a burnt-in scale bar or panel letter hides little, and the label
map keeps the specimen below it.
"""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blender_gen.imaging.beam import blur
from blender_gen.imaging.conditions import Conditions

# of matplotlib; the empty name is Pillow's own, which has no µ
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "STIXGeneral.ttf", "STIXGeneralBol.ttf", "")
NAMES = {"bse": "BSE", "se": "SE", "transmission": "STEM"}
PRINT_MM = 127.0  # width of a picture in which magnifications are given: a 5 inch photograph
SHARPEN_PX = 1.0


def published(
    grey: np.ndarray, pixel_size_um: float, conditions: Conditions, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture (H, W), 0 to 1, as it is passed on, and where what was written over it lies.

    The marks are `databar_px`, the number of replaced rows, and `scale_bar_px` and `panel_letter_px`, boxes
    [left, top, right, bottom].
    """
    a, letters = conditions.artefacts, conditions.lettering
    marks: dict[str, Any] = {"databar_px": 0}
    if a.resampling > 1:
        grey = resampled(grey, a.resampling)
    if a.sharpening:
        grey = np.clip(grey + np.float32(a.sharpening) * (grey - blur(grey, SHARPEN_PX * a.resampling)), 0, 1)
    if letters.databar or letters.scale_bar or letters.panel_letter:
        picture = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
        before = np.asarray(picture).copy()
        if letters.databar:
            marks["databar_px"] = draw_databar(picture, pixel_size_um, conditions, rng)
        if letters.scale_bar:
            marks["scale_bar_px"] = draw_scale_bar(picture, pixel_size_um, marks["databar_px"], rng)
        if letters.panel_letter:
            marks["panel_letter_px"] = draw_panel_letter(picture, rng)
        after = np.asarray(picture)
        grey = np.where(after != before, after.astype(np.float32) / 255, grey)
    if a.jpeg_quality < 100:
        grey = compressed(grey, int(a.jpeg_quality))
    return grey, marks


def resampled(grey: np.ndarray, factor: float) -> np.ndarray:
    """Made smaller by a factor and enlarged again, as a figure that was copied."""
    picture = Image.fromarray(grey.astype(np.float32))
    small = [max(round(n / factor), 2) for n in picture.size]
    return np.asarray(picture.resize(small, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BICUBIC))


def compressed(grey: np.ndarray, quality: int) -> np.ndarray:
    """Through a JPEG file of the given quality."""
    with io.BytesIO() as file:
        Image.fromarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file), dtype=np.float32) / 255


def draw_databar(picture: Image.Image, pixel_size_um: float, conditions: Conditions, rng: np.random.Generator) -> int:
    """Replace the lowest rows by an information bar; returns how many."""
    width, height = picture.size
    rows = max(round(height * rng.uniform(0.05, 0.09)), 10)
    dark = rng.uniform() < 0.8
    paper, ink = (int(rng.uniform(0, 50)), 255) if dark else (255, 0)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, height - rows, width, height), fill=paper)
    d, field_um = conditions.detector, width * pixel_size_um
    name = str(rng.choice(FONTS))
    working_mm, font = rng.uniform(4, 15), _font(name, max(int(rows * 0.4), 6))
    entries = [
        f"{d.beam_kev:.1f} kV", f"x{PRINT_MM * 1000 / field_um:,.0f}", f"WD {working_mm:.1f} mm",
        f"HFW {length_text(field_um, name)}", NAMES[d.kind],
    ]  # fmt: skip
    left, middle = 0.02 * width, height - rows / 2
    bar_um = _round_length(rng.uniform(0.12, 0.25) * field_um)
    room = width * 0.96 - bar_um / pixel_size_um
    for entry in entries:
        if left + pen.textlength(entry, font) > room:
            break
        pen.text((left, middle), entry, fill=ink, font=font, anchor="lm")
        left += pen.textlength(entry, font) + 0.025 * width
    right = width * 0.98
    start = right - bar_um / pixel_size_um
    y = height - rows * 0.25
    pen.line((start, y, right, y), fill=ink, width=max(rows // 20, 1))
    for x in (start, right):
        pen.line((x, y - rows * 0.12, x, y + rows * 0.12), fill=ink, width=max(rows // 20, 1))
    pen.text(((start + right) / 2, height - rows * 0.62), length_text(bar_um, name), fill=ink, font=font, anchor="mm")
    return rows


def draw_scale_bar(picture: Image.Image, pixel_size_um: float, below_px: int, rng: np.random.Generator) -> list[int]:
    """Burn a scale bar with its length into a lower corner, above a databar; returns its box."""
    width, height = picture.size[0], picture.size[1] - below_px
    length_um = _round_length(rng.uniform(0.12, 0.35) * width * pixel_size_um)
    length = length_um / pixel_size_um
    thick = max(round(height * rng.uniform(0.006, 0.025)), 2)
    size = max(int(height * rng.uniform(0.035, 0.09)), 8)
    name = str(rng.choice(FONTS))
    font, label = _font(name, size), length_text(length_um, name)
    pen = ImageDraw.Draw(picture)
    wide = max(length, pen.textlength(label, font))
    margin = rng.uniform(0.02, 0.05) * width
    centre = width - margin - wide / 2 if rng.uniform() < 0.75 else margin + wide / 2
    base = height - rng.uniform(0.02, 0.05) * height
    under = rng.uniform() < 0.25  # the label below its bar
    bar_top = base - thick - (1.25 * size if under else 0)
    text_y = base - 0.5 * size if under else bar_top - 0.7 * size
    text = pen.textbbox((centre, text_y), label, font, anchor="mm")
    edges = centre - wide / 2 - 3, min(bar_top, text[1]) - 3, centre + wide / 2 + 3, max(base, text[3]) + 3
    box = [int(v) for v in edges]
    ink = _ink(picture, box, rng)
    if rng.uniform() < 0.2:
        pen.rectangle((*box[:2], box[2] - 1, box[3] - 1), fill=255 - ink)
    pen.rectangle((centre - length / 2, bar_top, centre + length / 2, bar_top + thick), fill=ink)
    pen.text((centre, text_y), label, fill=ink, font=font, anchor="mm")
    return _inside(box, picture)


def draw_panel_letter(picture: Image.Image, rng: np.random.Generator) -> list[int]:
    """Write a panel letter into an upper corner; returns its box."""
    width, height = picture.size
    letter = str(rng.choice(list("abcdefgh")))
    letter = letter.upper() if rng.uniform() < 0.4 else letter
    letter = f"({letter})" if rng.uniform() < 0.5 else letter
    size = max(int(height * rng.uniform(0.06, 0.12)), 8)
    font, pen = _font(str(rng.choice(FONTS)), size), ImageDraw.Draw(picture)
    margin = rng.uniform(0.01, 0.04) * width
    x = margin if rng.uniform() < 0.85 else width - margin - pen.textlength(letter, font)
    box = [int(v) for v in pen.textbbox((x, margin), letter, font)]
    box = [box[0] - 3, box[1] - 3, box[2] + 3, box[3] + 3]
    ink = _ink(picture, box, rng)
    if rng.uniform() < 0.25:
        pen.rectangle((*box[:2], box[2] - 1, box[3] - 1), fill=255 - ink)
    pen.text((x, margin), letter, fill=ink, font=font)
    return _inside(box, picture)


def length_text(length_um: float, font: str = FONTS[0]) -> str:
    """A length in the unit that a microscopist would write, with the letters that a font has."""
    if length_um < 1:
        return f"{length_um * 1000:.3g} nm"
    return f"{length_um:.3g} {'µ' if font else 'u'}m" if length_um < 1000 else f"{length_um / 1000:.3g} mm"


def _round_length(length_um: float) -> float:
    magnitude = 10 ** np.floor(np.log10(length_um))
    return float(max(n for n in (magnitude, 2 * magnitude, 5 * magnitude) if n <= length_um))


def _ink(picture: Image.Image, box: list[int], rng: np.random.Generator) -> int:
    """White on dark ground and black on bright ground, now and then the reverse."""
    left, top, right, bottom = _inside(box, picture)
    mean = float(np.asarray(picture)[top:bottom, left:right].mean())
    readable = 255 if mean < 128 else 0
    return readable if rng.uniform() < 0.9 else 255 - readable


def _inside(box: list[int], picture: Image.Image) -> list[int]:
    width, height = picture.size
    left, top = min(max(box[0], 0), width - 1), min(max(box[1], 0), height - 1)
    return [left, top, max(min(box[2], width), left + 1), max(min(box[3], height), top + 1)]


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """One of matplotlib's fonts; without a name, Pillow's own."""
    if not name:
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
