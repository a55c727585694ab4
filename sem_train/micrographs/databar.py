"""Databars found in the picture: strips that an instrument has drawn over the whole width below, or above, the image.

What is drawn differs from what is seen in that it has no noise: a strip is paper of one grey level with sharp
lettering on it, and it begins at a straight edge across the whole picture.
"""

import numpy as np
from scipy import ndimage

LEAST_ROWS, MOST_ROWS_PX, MOST_SHARE = 10, 640, 0.22  # rows of a databar; share of all rows
COLUMNS = 4096  # that are enough to see lettering by: of more, every n-th is looked at
MARGIN = 6  # rows of specimen that are looked at beside a strip
LEAST_SIDE = 96  # pixels of a picture in which lettering can be told from noise
NEAR = 0.035  # of full scale: levels that compression has moved from that of the paper
PAPER, ROW_PAPER = 0.5, 0.3  # share of the strip, and of most of its rows, that is paper at least
MOST_ROWS = 0.8  # of the rows are papered; the others are rules and frames
SPECIMEN_PAPER = 0.5  # share of the rows beside a strip that has the level of the paper at most
FLAT = 0.01  # of full scale: standard deviation of a row that is one drawn line at most
EDGE = 0.3  # by which the share of that level grows where the strip begins
INK, INK_CONTRAST = (0.01, 0.4), 0.2  # share of the strip that is lettering; its distance from the paper, of full scale
LETTERS = 6  # separate pieces of lettering at least
LINES, IN_LINES = 6, 0.48  # pairs of neighbouring rows, and the share of letters that have their feet in them at least
LETTER_HEIGHT = 0.9  # of the strip, at most, for most of them: rules between fields are higher


def find_databar(image: np.ndarray) -> slice | None:
    """The rows of an image (H, W) that are an information strip, at the bottom or else the top; None without one."""
    height = len(image)
    near = edge_rows(height)
    return find_databar_at_edges(image[:near], image[-near:], height)


def edge_rows(height: int) -> int:
    """How many rows at either edge of a picture of this height are looked at."""
    return min(height, min(int(MOST_SHARE * height), MOST_ROWS_PX) + MARGIN)


def find_databar_at_edges(highest: np.ndarray, lowest: np.ndarray, height: int) -> slice | None:
    """As `find_databar`, from the `edge_rows` highest and lowest rows of a picture of this height."""
    if min(height, lowest.shape[1]) < LEAST_SIDE:
        return None
    every = max(1, lowest.shape[1] // COLUMNS)
    rows = _strip_rows(_levels(lowest[:, ::every]), height)
    if rows:
        return slice(height - rows, height)
    rows = _strip_rows(_levels(highest[::-1, ::every]), height)
    return slice(0, rows) if rows else None


def is_drawn(strip: np.ndarray) -> bool:
    """Whether these rows (h, W) are drawn: paper of one level with lettering on it."""
    levels = _levels(strip)
    return _lettered(levels, _paper(levels))


def _levels(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / np.iinfo(image.dtype).max


def _strip_rows(lowest: np.ndarray, height: int) -> int:
    """How many of the lowest rows of a picture of this height are a strip; 0 without one."""
    papers = {_paper(lowest[-rows:]) for rows in (max(LEAST_ROWS, height // 60), max(LEAST_ROWS, height // 20))}
    for paper in sorted(papers):
        share = (np.abs(lowest - paper) < NEAR).mean(axis=1)
        for first in _edges(share):
            strip = lowest[_with_frame(first, lowest) :]
            if _lettered(strip, paper):
                return len(strip)
    return 0


def _paper(rows: np.ndarray) -> float:
    """The commonest level."""
    counts, edges = np.histogram(rows, bins=64, range=(0, 1))
    best = counts.argmax()
    return float(np.median(rows[(rows >= edges[best]) & (rows <= edges[best + 1])]))


def _edges(share: np.ndarray) -> list[int]:
    """First rows of what may be a strip, by the share of paper in each row, the highest strip first."""
    papered = share > ROW_PAPER
    found = []
    for row in range(MARGIN, len(share) - LEAST_ROWS + 1):
        above, below = share[row - MARGIN : row].mean(), share[row : row + 4].mean()
        if below - above > EDGE and above < SPECIMEN_PAPER and papered[row:].mean() >= MOST_ROWS:
            first = row + int(np.diff(share[row - 1 : row + 4]).argmax())
            if not found or first > found[-1]:
                found.append(first)
    return found


def _with_frame(first: int, lowest: np.ndarray) -> int:
    """The first row of a strip with the line, if any, that is drawn above it."""
    while first > 0 and lowest[first - 1].std() < FLAT:
        first -= 1
    return first


def _lettered(strip: np.ndarray, paper: float) -> bool:
    away = np.abs(strip - paper)
    if (away < NEAR).mean() < PAPER:
        return False
    ink = away > INK_CONTRAST
    if not INK[0] <= ink.mean() <= INK[1]:
        return False
    labels, _ = ndimage.label(ink, structure=np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    heights = np.array([box[0].stop - box[0].start for box in boxes])
    widths = np.array([box[1].stop - box[1].start for box in boxes])
    letters = (heights >= 4) & (heights <= LETTER_HEIGHT * len(strip)) & (widths <= 4 * heights)
    return int(letters.sum()) >= LETTERS and _in_lines(np.array([box[0].stop for box in boxes])[letters])


def _in_lines(feet: np.ndarray) -> bool:
    """Whether most letters stand on a few lines, as those of writing do and pores do not."""
    standing = np.convolve(np.bincount(feet), np.ones(2), mode="same")
    return float(np.sort(standing)[-LINES:].sum()) >= 2 * IN_LINES * len(feet)
