"""Pictures of a page, as data URIs of bounded size: the micrograph, and the class mask that lies over it."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

from sem_train.analysis.record import ImageRecord, Legend

PAGE_BYTES = 24_000_000  # what all micrographs of a page may take together ...
PICTURE_BYTES = 600_000  # ... and a single one
LEAST_BYTES = 30_000
LONGEST_PX = 1600
LONGEST_IN_BATCH_PX = 1000
FEW_PICTURES = 12
FILL, LINE = 140, 255  # opacity of a class between and on the lines of its pattern
PERIOD_PX = 12
LABEL_SHARE = 0.015  # classes of less area get no name in the picture


@dataclass(frozen=True)
class Budget:
    """How large the picture of one micrograph may be."""

    bytes: int
    longest_px: int


@dataclass(frozen=True)
class Name:
    """Where in the picture a class is named, in shares of its width and height."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Pictures:
    """What is shown of one micrograph."""

    micrograph: str  # data URI, JPEG
    mask: str  # data URI, PNG, transparent where no class is tinted; empty without a label map
    width: int
    height: int
    names: tuple[Name, ...]
    shares: dict[int, float]  # of the picture's area, by class id
    problem: str  # why something is not shown; empty if all is


def budget(images: int) -> Budget:
    """The more pictures a page has, the smaller each is."""
    longest = LONGEST_PX if images <= FEW_PICTURES else LONGEST_IN_BATCH_PX
    return Budget(max(LEAST_BYTES, min(PICTURE_BYTES, PAGE_BYTES // max(images, 1))), longest)


def pictures(folder: Path, record: ImageRecord, limit: Budget) -> Pictures:
    """The pictures of one micrograph; one that cannot be read is named in `problem`, never an error."""
    problems = []
    preview = _preview(folder / f"{record.name}.jpg")
    if preview is None:
        problems.append(f"{record.name}.jpg is missing or cannot be read: no picture")
        scale = min(1.0, limit.longest_px / max(record.width_px, record.height_px))
        size = (max(1, round(record.width_px * scale)), max(1, round(record.height_px * scale)))
        preview = Image.new("L", size, 128)
    micrograph, (width, height) = jpeg_uri(preview, limit)
    labels = _labels(folder, record)
    if labels is None:
        problems.append(f"{record.name}_labels.tif is missing or does not fit: no classes shown")
        return Pictures(micrograph, "", width, height, (), {}, "; ".join(problems))
    small = shrunk(labels, (height, width), [c.id for c in record.classes if c.role == "crack"])
    counts = np.bincount(small.ravel(), minlength=256) / small.size
    names = tuple(placed_name(small, c) for c in record.classes if c.colour is not None and counts[c.id] >= LABEL_SHARE)
    shares = {c.id: float(counts[c.id]) for c in record.classes}
    return Pictures(micrograph, mask_uri(small, record.classes), width, height, names, shares, "; ".join(problems))


def shrunk(labels: np.ndarray, shape: tuple[int, int], thin: Sequence[int]) -> np.ndarray:
    """Class ids (H, W) at another size, by the nearest pixel; classes in `thin` also win where they are in a block."""
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    small = labels[np.ix_(rows, columns)].copy()
    factor = min(old / new for new, old in zip(shape, labels.shape, strict=True))
    if factor > 1.2:
        first_row, first_column = (np.arange(new) * old // new for new, old in zip(shape, labels.shape, strict=True))
        for i in thin:
            there = np.logical_or.reduceat(np.logical_or.reduceat(labels == i, first_row, 0), first_column, 1)
            small[there] = i
    return small


def mask_uri(labels: np.ndarray, classes: Sequence[Legend]) -> str:
    """Class ids (H, W) as a PNG of few colours: each class its colour and its pattern of lines, others transparent."""
    drawn = [c for c in classes if c.colour is not None]
    index = np.zeros(labels.shape, dtype=np.uint8)
    for k, kind in enumerate(drawn):
        here = labels == kind.id
        index[here] = 1 + 2 * k
        index[here & pattern(k, labels.shape)] = 2 + 2 * k
    return _palette_png(index, drawn)


def swatch_uri(position: int, kind: Legend) -> str:
    """A tile of a class as the mask shows it, for the legend; `position` is among the classes that have a colour."""
    index = 1 + pattern(position, (2 * PERIOD_PX, 2 * PERIOD_PX)).astype(np.uint8)
    return _palette_png(index, [kind])


def pattern(k: int, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: where the lines of the k-th pattern are, so that classes differ by more than colour."""
    row, column = np.ogrid[: shape[0], : shape[1]]
    across, along = row % PERIOD_PX, column % PERIOD_PX
    down, up = lambda: (row + column) % PERIOD_PX, lambda: (row - column) % PERIOD_PX
    lines = (
        lambda: up() < 2,
        lambda: down() < 2,
        lambda: across < 2,
        lambda: (across < 3) & (along < 3),
        lambda: along < 2,
        lambda: (up() < 1) | (down() < 1),
        lambda: (across < 1) | (along < 1),
    )
    return np.broadcast_to(lines[(k + k // len(lines)) % len(lines)](), shape)  # colours come again at the same number


def _palette_png(index: np.ndarray, drawn: Sequence[Legend]) -> str:
    palette, opacity = [(0, 0, 0)], [0]
    for kind in drawn:
        colour = kind.colour or (0, 0, 0)
        palette += [colour, colour]
        opacity += [FILL, LINE]
    image = Image.frombytes("P", (index.shape[1], index.shape[0]), np.ascontiguousarray(index).tobytes())
    image.putpalette([channel for colour in palette for channel in colour])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", transparency=bytes(opacity), bits=4 if len(palette) <= 16 else 8, compress_level=9)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _preview(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as image:
            return image.convert("L" if image.mode in ("L", "I;16", "1") else "RGB")
    except OSError:
        return None


def jpeg_uri(image: Image.Image, limit: Budget) -> tuple[str, tuple[int, int]]:
    """As data URI within the limit, by less quality first, then by fewer pixels; and its width and height."""
    image = image.copy()
    longest = min(limit.longest_px, max(image.size))
    while True:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        for quality in (88, 78, 66):
            buffer = io.BytesIO()
            image.save(buffer, format="JPEG", quality=quality, optimize=True)
            if buffer.tell() <= limit.bytes:
                break
        if buffer.tell() <= limit.bytes or longest <= 200:
            return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(), image.size
        longest = int(longest * 0.85)


def _labels(folder: Path, record: ImageRecord) -> np.ndarray | None:
    """Class ids (H, W) uint8 of one micrograph, None where no map of its size can be read."""
    for suffix in (".tif", ".png"):
        path = folder / f"{record.name}_labels{suffix}"
        if path.is_file():
            try:
                labels = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path))
            except (OSError, ValueError, tifffile.TiffFileError):
                return None
            fits = labels.shape == (record.height_px, record.width_px)
            return labels.astype(np.uint8, copy=False) if fits else None
    return None


def placed_name(labels: np.ndarray, kind: Legend) -> Name:
    """Named where the class has most room around it."""
    step = max(1, max(labels.shape) // 250)
    here = np.pad(labels[::step, ::step] == kind.id, 1)
    room = ndimage.distance_transform_edt(here)[1:-1, 1:-1]
    # the lower right corner is the scale bar's
    room[int(0.86 * room.shape[0]) :, int(0.6 * room.shape[1]) :] *= 0.01
    row, column = np.unravel_index(int(room.argmax()), room.shape)
    x, y = (column + 0.5) / room.shape[1], (row + 0.5) / room.shape[0]
    return Name(kind.name, float(np.clip(x, 0.1, 0.9)), float(np.clip(y, 0.04, 0.96)))
