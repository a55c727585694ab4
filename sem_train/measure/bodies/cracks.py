"""Cracks: how many and how long, how wide, which way they run, and whether they go through their layer.

Length runs along the middle line, branches included. Opening is twice the distance from the middle
line to the crack's edge (largest inscribed disc); the mean opening is area over length, which is
the same for a crack of even width and does not suffer from the raster. A crack goes through if it
reaches within THROUGH_PX of both interfaces of its host. Orientation is the angle between the axis
of its pixels and the layer's normal there: 0 for a vertical crack, 90 along the layer.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.morphology import skeletonize

from sem_train.measure.bodies.single import without_specks
from sem_train.measure.layers.normals import Normals
from sem_train.measure.section import Section

THROUGH_PX = 2.0  # a crack's tip is not seen in its last pixels
TRACE_PX = 0.5
EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Crack:
    """One crack. Lengths in the field's unit; None where its place in the layer is not known."""

    length: float
    opening_mean: float
    opening_max: float
    area: float
    xy: tuple[float, float]  # middle, in pixels of the image as given
    cut: bool  # touches the frame: longer than seen
    through: bool | None  # reaches both interfaces of its host; None where the frame cuts it before
    orientation_deg: float | None  # 0 along the layer's normal, 90 along the layer
    along: float | None  # where along the host's midline its middle lies


@dataclass(frozen=True)
class CrackMeasurement:
    """All cracks of one class. Lengths in the field's unit; None where there is nothing to measure."""

    host: str
    count: int
    total_length: float  # along the middle lines, branches included
    mean_opening: float | None  # area over length
    max_opening: float | None
    length_density: float | None  # length of crack per area of the host's envelope, 1/unit
    per_length: float | None  # cracks per length of the host's midline, 1/unit
    through: int  # cracks that reach both interfaces
    orientation_deg: float | None  # mean angle against the layer's normal, weighted with length
    spacings: tuple[float, ...]  # along the midline, between neighbouring cracks that go through
    spacing_mean: float | None
    spacing_sd: float | None
    cracks: tuple[Crack, ...]  # one by one


def measure_cracks(section: Section, name: str, pixel: float) -> CrackMeasurement:
    """Measure the cracks of one class; specks are left out. `pixel` is its edge in the unit."""
    host = str(section.classes.classes[section.classes.id_of(name)].host)
    objects = without_specks(ndimage.label(section.mask(name), EIGHT)[0])
    normals = section.normals[host]
    places = _Places(objects, normals) if normals is not None and objects.any() else None
    cracks = tuple(
        _crack(objects, number, window, places, section, pixel)
        for number, window in enumerate(ndimage.find_objects(objects), start=1)
    )
    total = sum(c.length for c in cracks)
    host_area = float(np.count_nonzero(section.envelopes[host])) * pixel**2
    host_length = _midline_px(normals) * pixel
    through = sorted(c.along for c in cracks if c.through and c.along is not None)
    spacings = np.diff(through)
    leaning = np.array([(c.orientation_deg, c.length) for c in cracks if c.orientation_deg is not None])
    return CrackMeasurement(
        host=host,
        count=len(cracks),
        total_length=total,
        mean_opening=sum(c.area for c in cracks) / total if cracks else None,
        max_opening=max((c.opening_max for c in cracks), default=None),
        length_density=total / host_area if host_area else None,
        per_length=len(cracks) / host_length if host_length else None,
        through=sum(c.through is True for c in cracks),
        orientation_deg=float(np.average(leaning[:, 0], weights=leaning[:, 1])) if len(leaning) else None,
        spacings=tuple(spacings.tolist()),
        spacing_mean=float(spacings.mean()) if len(spacings) else None,
        spacing_sd=float(spacings.std(ddof=1)) if len(spacings) > 1 else None,
        cracks=cracks,
    )


def _crack(
    objects: np.ndarray, number: int, window: tuple[slice, slice], places: "_Places | None", section: Section,
    pixel: float,
) -> Crack:  # fmt: skip
    image = np.pad(objects[window] == number, 1)
    area = float(np.count_nonzero(image))
    skeleton = skeletonize(image, method="lee")  # the other method loses oblique cracks two pixels wide
    length = _length_px(skeleton, area)
    points = np.argwhere(image) + np.array([s.start - 1 for s in window])
    middle = points.mean(axis=0)
    x, y = section.in_image(middle)
    cut = any(s.start == 0 or s.stop == n for s, n in zip(window, objects.shape, strict=True))
    through, along, orientation = None, None, None
    if places is not None:
        station = places.station(middle)
        through = places.through(number) or (None if cut else False)
        along = places.along(station, middle) * pixel
        orientation = _angle_deg(points - middle, places.normals.directions[station])
    return Crack(
        length=length * pixel,
        opening_mean=area / length * pixel,
        opening_max=_opening_px(image, skeleton) * pixel,
        area=area * pixel**2,
        xy=(float(x), float(y)),
        cut=cut,
        through=through,
        orientation_deg=orientation,
        along=along,
    )


class _Places:
    """Where cracks lie in their layer."""

    def __init__(self, objects: np.ndarray, normals: Normals):
        self.normals = normals
        points = np.argwhere(objects)
        which = objects[objects > 0]
        self.reach = np.full((int(objects.max()) + 1, 2), np.inf)  # least distance to the outer and inner interface
        for side, way in enumerate((normals.outer, normals.inner)):
            line = _traced(normals, way)
            if len(line):
                np.minimum.at(self.reach[:, side], which, KDTree(line).query(points)[0])

    def through(self, number: int) -> bool:
        """Whether a crack reaches both interfaces: its last pixel's centre lies half a pixel within its end."""
        return bool((self.reach[number] <= THROUGH_PX + 1).all())

    def station(self, middle: np.ndarray) -> int:
        """The normal next to a point."""
        return int(((self.normals.points - middle) ** 2).sum(axis=1).argmin())

    def along(self, station: int, middle: np.ndarray) -> float:
        """Length of the midline up to the foot of a point, between stations too."""
        direction = self.normals.directions[station]
        tangent = np.array([-direction[1], direction[0]])
        return float(self.normals.along[station] + (middle - self.normals.points[station]) @ tangent)


def _traced(normals: Normals, way: np.ndarray) -> np.ndarray:
    """Points (M, 2) on an interface, so close that none lies further than half a step from the next."""
    line = normals.points + normals.directions * way[:, None]
    step = np.linalg.norm(np.diff(line, axis=0), axis=1)
    parts = max(1, int(np.ceil(np.nanmax(step) / TRACE_PX))) if np.isfinite(step).any() else 1
    share = np.arange(parts) / parts
    between = line[:-1, None] * (1 - share[:, None]) + line[1:, None] * share[:, None]
    points = np.concatenate([between.reshape(-1, 2), line])
    return points[np.isfinite(points).all(axis=1)]


def _midline_px(normals: Normals | None) -> float:
    """Length of the midline where the layer exists."""
    if normals is None or len(normals.along) < 2:
        return 0.0
    return float(normals.covered.sum() * (normals.along[1] - normals.along[0]))


def _angle_deg(offsets: np.ndarray, normal: np.ndarray) -> float | None:
    """Angle of 0 to 90° between the long axis of points (N, 2) about their mean and a unit vector."""
    values, axes = np.linalg.eigh(offsets.T @ offsets)
    if values[1] <= 0 or values[0] > 0.999 * values[1]:
        return None  # as wide as long: no direction
    return float(np.degrees(np.arccos(np.clip(abs(axes[:, 1] @ normal), 0.0, 1.0))))


def _opening_px(image: np.ndarray, skeleton: np.ndarray) -> float:
    """Diameter of the largest disc in a crack, on its middle line.

    On pixels cut in four, so that a crack of even width, whose middle runs between pixels, is measured too.
    """
    fine = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
    distance = ndimage.distance_transform_edt(fine)
    return float(distance[np.repeat(np.repeat(skeleton, 2, axis=0), 2, axis=1)].max())


def _length_px(skeleton: np.ndarray, area: float) -> float:
    """Length of a crack's skeleton, and of what thinning took off its two ends.

    Steps along rows or columns, diagonal steps and corners between the two kinds are weighted
    as by Vossepoel & Smeulders (Computer Graphics and Image Processing 20, 1982, 347).
    """
    straight = sum(_shifted(skeleton, r, c) for r, c in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    diagonal = sum(
        # beside a right angle a diagonal step would be the same step twice
        _shifted(skeleton, r, c) & (1 - _shifted(skeleton, r, 0)) & (1 - _shifted(skeleton, 0, c))
        for r, c in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    )
    straight, diagonal = straight * skeleton, diagonal * skeleton
    corners = np.count_nonzero((straight > 0) & (diagonal > 0))
    steps = max(0.980 * straight.sum() / 2 + 1.406 * diagonal.sum() / 2 - 0.091 * corners, 0.0)
    # each end lost about half the opening: length = steps + area / length
    return float(steps / 2 + np.sqrt(steps**2 / 4 + area))


def _shifted(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """(H, W) int: the neighbour that many rows down and columns right; the rim of `image` is empty."""
    return np.roll(image, (-rows, -columns), axis=(0, 1)).astype(int)
