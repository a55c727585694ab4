"""ImageJ selections (ROIs) and their files.

ImageJ counts in two ways: the corners of areas from the upper left *corner* of the image, so that the centre
of its first pixel is (0.5, 0.5); the ends of lines from the *centre* of that pixel, which is (0, 0) (from ImageJ
1.52u on; it draws lines half a pixel further right and down). Points here have pixel centres at whole numbers
throughout; only this module knows of the other way.
"""

import itertools
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from semforge.errors import InputError
from semforge.files import existing_file, whole_file

AREAS = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT)
CENTRE = 0.5  # of ImageJ's first pixel, where it counts from corners
Rgb = tuple[int, int, int]


def line_roi(name: str, ends: np.ndarray, colour: Rgb, properties: dict[str, str | int]) -> ImagejRoi:
    """A straight line between two points (2, 2) of (x, y), which may be one and the same."""
    (x1, y1), (x2, y2) = np.asarray(ends, dtype=np.float64).tolist()
    roi = ImagejRoi(
        roitype=ROI_TYPE.LINE, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, name=name, x1=x1, y1=y1, x2=x2, y2=y2,
        left=int(min(x1, x2)), top=int(min(y1, y2)), right=int(max(x1, x2)) + 1, bottom=int(max(y1, y2)) + 1,
        stroke_color=_argb(colour),
    )  # fmt: skip
    roi.properties = dict(properties)
    return roi


def area_roi(name: str, polygon: np.ndarray, colour: Rgb, properties: dict[str, str | int]) -> ImagejRoi:
    """The inside of a polygon (N, 2) of (x, y)."""
    roi = ImagejRoi.frompoints(np.asarray(polygon, dtype=np.float64) + CENTRE, name=name)
    roi.roitype = ROI_TYPE.POLYGON
    roi.options = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    roi.stroke_color = _argb(colour)
    roi.properties = dict(properties)
    return roi


def ends_of(roi: ImagejRoi) -> np.ndarray:
    """The two ends (2, 2) of a straight line as (x, y)."""
    return np.array([[roi.x1, roi.y1], [roi.x2, roi.y2]], dtype=np.float64)


def polygons_of(roi: ImagejRoi) -> list[np.ndarray]:
    """The boundaries of an area as (x, y): one polygon, or several where it has holes or parts."""
    if roi.composite:
        parts = roi.path2coords(roi.multi_coordinates)
    elif roi.roitype == ROI_TYPE.RECT:
        parts = [_rectangle(roi)]
    else:
        parts = [roi.coordinates()]
    return [np.asarray(part, dtype=np.float64) - CENTRE for part in parts]


def is_line(roi: ImagejRoi) -> bool:
    """Whether it is a straight line (arrows are)."""
    return roi.roitype == ROI_TYPE.LINE


def is_area(roi: ImagejRoi) -> bool:
    """Whether it encloses pixels in a way that `polygons_of` can give."""
    return roi.composite or (roi.roitype in AREAS and roi.subtype not in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE))


def kind_of(roi: ImagejRoi) -> str:
    """What a user calls it, for messages."""
    if roi.subtype == ROI_SUBTYPE.TEXT:
        return "a text"
    if roi.subtype == ROI_SUBTYPE.IMAGE:
        return "an image"
    if is_area(roi):
        return "an area"
    return {
        ROI_TYPE.LINE: "a straight line", ROI_TYPE.OVAL: "an oval", ROI_TYPE.FREELINE: "a freehand line",
        ROI_TYPE.POLYLINE: "a segmented line", ROI_TYPE.ANGLE: "an angle", ROI_TYPE.POINT: "a point",
    }.get(roi.roitype, f"a selection of type {int(roi.roitype)}")  # fmt: skip


def write_zip(path: Path, rois: Sequence[ImagejRoi]) -> None:
    """Write a ZIP that the ROI Manager of ImageJ opens, in that order, whole or not at all."""
    with whole_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, roi in zip(_file_names(rois), rois, strict=True):
            # one date for all files, so that the same selections make the same file
            archive.writestr(zipfile.ZipInfo(name), roi.tobytes())


def read_zip(path: Path) -> list[ImagejRoi]:
    """The selections of a ZIP of ImageJ's ROI Manager, or that of a single `.roi` file, in their order.

    Raises InputError if the file is missing or none of these, or if a selection in it is broken.
    """
    path = existing_file(path, "selections of ImageJ's ROI Manager (.zip)")
    try:
        contents = _contents(path)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read, expected a ZIP that ImageJ's ROI Manager wrote") from error
    if not contents:
        raise InputError(f"{path}: has no .roi file, expected a ZIP that ImageJ's ROI Manager wrote")
    rois = []
    for name, content in contents:
        try:
            roi = ImagejRoi.frombytes(content)
            if not is_line(roi) and is_area(roi):
                polygons_of(roi)
        except Exception as error:  # what roifile raises of broken bytes is not one kind
            raise InputError(f"{path}: {name!r} cannot be read as a selection of ImageJ") from error
        roi.name = roi.name or name
        rois.append(roi)
    return rois


def _file_names(rois: Sequence[ImagejRoi]) -> list[str]:
    """Names of files in a ZIP, each another; equal names are numbered as ImageJ does."""
    names: list[str] = []
    for roi in rois:
        plain = roi.name.replace("/", "_")
        numbered = (f"{plain}-{k}.roi" for k in itertools.count(1))
        names.append(next(n for n in itertools.chain([f"{plain}.roi"], numbered) if n not in names))
    return names


def _contents(path: Path) -> list[tuple[str, bytes]]:
    """Names and bytes of the selections in a file."""
    if path.suffix.lower() == ".roi":
        return [(path.stem, path.read_bytes())]
    with zipfile.ZipFile(path) as archive:
        return [
            (Path(entry.filename).stem, archive.read(entry))
            for entry in archive.infolist()
            if entry.filename.lower().endswith(".roi")
        ]


def _rectangle(roi: ImagejRoi) -> np.ndarray:
    if roi.subpixelrect:
        left, top, right, bottom = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    else:
        left, top, right, bottom = roi.left, roi.top, roi.right, roi.bottom
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


def _argb(colour: Rgb) -> bytes:
    return bytes((255, *colour))
