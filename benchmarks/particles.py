"""How well particles and pores are measured: python -m benchmarks.particles [PATH ...]

Each PATH is a data set whose specimens are known, or a folder of instance maps (images, 0 beside particles).

- Of particles: sizes in the true instance maps against the geometry (whole, seen without occlusion, 100 pixels and
  more); then the maps without their numbers, so that touching particles have to be parted again: share of particles
  found (IoU 0.5), share of objects that are particles, sizes against those of the instance maps.
- Of pores: share of the layer and sizes in the true label maps against the geometry.

Without a path: the time that 5,000 particles in 2048 × 1767 pixels take.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from blender_gen.sample import SampleFile
from sem_train.measure import measure_label_map
from sem_train.measure.bodies.instances import split_touching, whole_numbers
from sem_train.measure.bodies.particles import measure_particles
from sem_train.measure.bodies.shapes import SHAPE_PX, measure_shapes
from sem_train.measure.files import ClassFile
from sem_train.micrographs import read_label_map
from semforge.settings import load_settings

LEAST_PX = 30  # smaller particles are not looked for
COATING = load_settings(Path(__file__).parents[1] / "configs" / "train" / "slurry_unet.yaml", ClassFile)


def main(paths: list[Path]) -> None:
    """Print what the words of the command line ask for."""
    for path in paths:
        if path.is_dir() and not (path / "dataset.h5").exists():
            parted(path.name, (whole_numbers(read_label_map(p).labels) for p in sorted(path.iterdir())))
            continue
        file = SampleFile(path)
        if file.truth(0)["family"] == "particles":
            known_sizes(path.name, file)
            parted(path.name, (instances for instances, _ in particles(file)))
        else:
            pores(path.name, file)
    if not paths:
        speed()


def particles(file: SampleFile) -> Iterator[tuple[np.ndarray, dict[int, dict[str, Any]]]]:
    """Instance maps of particles, and the truth of each by its number in the map."""
    phase = file.header.phase_names.index("particle")
    for position in range(len(file)):
        own = np.where(file.phase(position) == phase, file.instance(position), 0).astype(np.int64)
        numbers = np.unique(own[own > 0])
        truths = {t["instance"]: t | {"pixel_um": float(file.pixel_size_um[position])}
                  for t in file.truth(position)["particles"]}  # fmt: skip
        yield whole_numbers(own), {i: truths[n] for i, n in enumerate(numbers.tolist(), start=1)}


def known_sizes(name: str, file: SampleFile) -> None:
    """Sizes in the true instance maps against the geometry."""
    found = []
    for instances, truths in particles(file):
        shapes = measure_shapes(instances)
        for i in np.flatnonzero(~shapes.cut & (shapes.area >= SHAPE_PX)):
            true = truths[int(i) + 1]
            if true["occluded_fraction"] < 1e-3 and not true["cut_by_frame"]:
                measured = np.array([shapes.ecd[i], shapes.feret_max[i], shapes.feret_min[i]])
                expected = np.array([true[k] for k in ("ecd_um", "feret_max_um", "feret_min_um")]) / true["pixel_um"]
                found.append((measured, expected))
    measured, expected = np.moveaxis(np.array(found), 1, 0)
    for which, quantity in enumerate(("ECD", "largest Feret", "smallest Feret")):
        off = measured[:, which] - expected[:, which]
        print(f"{name}: {quantity}, {len(off)} particles: bias {off.mean():+.3f} px, sd {off.std(ddof=1):.3f} px, "
              f"{100 * (off / expected[:, which]).mean():+.3f} %")  # fmt: skip


def parted(name: str, maps: Iterator[np.ndarray]) -> None:
    """Touching particles told apart again, and what is lost without that."""
    counts, medians = np.zeros((2, 4), dtype=int), []
    for instances in maps:
        mask = instances > 0
        if not mask.any():
            continue
        together = ndimage.label(mask, np.ones((3, 3)))[0]
        counts += [matches(instances, objects) for objects in (split_touching(mask), together)]
        sizes = [m.sizes for m in (measure_particles(instances, 1.0), measure_particles(mask, 1.0))]
        if all(s is not None and len(s.values) >= 10 for s in sizes):
            medians.append([[s.by_number[50], s.by_volume[50]] for s in sizes if s])
    for way, (found, true, right, seen) in zip(("parted", "as they touch"), counts, strict=True):
        print(f"{name}: {way}: {found / true:.3f} of {true} particles found, "
              f"{right / seen:.3f} of {seen} objects right")  # fmt: skip
    off = np.array([np.array(b) / np.array(a) - 1 for a, b in medians])
    for which, quantity in enumerate(("number", "volume")):
        print(f"{name}: D50 by {quantity}, {len(off)} images of 10 or more: bias {100 * off[:, which].mean():+.2f} %, "
              f"mean error {100 * np.abs(off[:, which]).mean():.2f} %")  # fmt: skip


def matches(true: np.ndarray, seen: np.ndarray) -> tuple[int, int, int, int]:
    """Particles found and all, objects that are particles and all, of at least LEAST_PX pixels; IoU 0.5 or more."""
    rows, columns = int(true.max()) + 1, int(seen.max()) + 1
    both = np.bincount((true.astype(np.int64) * columns + seen).ravel(), minlength=rows * columns)
    both = both.reshape(rows, columns)
    area, other = both.sum(axis=1)[1:], both.sum(axis=0)[1:]
    hit = both[1:, 1:] * 2 >= area[:, None] + other - both[1:, 1:]
    large, wide = area >= LEAST_PX, other >= LEAST_PX
    found, right = hit.any(axis=1) & large, hit.any(axis=0) & wide
    return int(found.sum()), int(large.sum()), int(right.sum()), int(wide.sum())


def pores(name: str, file: SampleFile) -> None:
    """Share and sizes of inclusions of a coating in the true label maps."""
    table = COATING.lookup_phases(file.header.phase_names)
    share: dict[str, list[float]] = {"pore": [], "precipitate": []}
    size: dict[str, list[float]] = {"pore": [], "precipitate": []}
    for position in range(len(file)):
        truth = file.truth(position)["inclusions"]
        field = measure_label_map(table[file.phase(position)], COATING, float(file.pixel_size_um[position]))
        for inclusion, measured in field.inclusions.items():
            if inclusion in truth and measured.area_percent is not None:
                share[inclusion].append(measured.area_percent - truth[inclusion]["area_percent"])
                smallest = np.sqrt(4 * 25 / np.pi) * file.pixel_size_um[position]  # 25 pixels
                true = np.array([d for d in truth[inclusion]["ecd_whole_um"] if d >= smallest])
                seen = np.array([d for d in measured.ecd if d >= smallest])
                if len(true) >= 10 and len(seen) >= 10:
                    size[inclusion].append(float(np.median(seen) / np.median(true) - 1))
    for inclusion, errors in share.items():
        off = np.array(errors)
        print(f"{name}: {inclusion}: area, {len(off)} specimens: bias {off.mean():+.4f} percentage points, "
              f"mean error {np.abs(off).mean():.4f}, largest {np.abs(off).max():.3f}")  # fmt: skip
        if size[inclusion]:
            off = np.array(size[inclusion])
            print(f"{name}: {inclusion}: median ECD (25 pixels and more), {len(off)} specimens: "
                  f"bias {100 * off.mean():+.2f} %, mean error {100 * np.abs(off).mean():.2f} %")  # fmt: skip


def speed(number: int = 5000, height: int = 1767, width: int = 2048) -> None:
    """Time of parting and measuring overlapping discs of lognormal size."""
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), dtype=bool)
    for row, column in rng.uniform(0, 1, (number, 2)) * [height, width]:
        radius = rng.lognormal(np.log(8), 0.25)
        r = slice(max(int(row - radius), 0), int(row + radius) + 2)
        c = slice(max(int(column - radius), 0), int(column + radius) + 2)
        rows, columns = np.mgrid[r, c]
        rows, columns = rows[: height - r.start, : width - c.start], columns[: height - r.start, : width - c.start]
        mask[r, c] |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    start, cpu = time.perf_counter(), time.process_time()
    objects = split_touching(mask)
    middle, cpu_middle = time.perf_counter(), time.process_time()
    found = measure_particles(objects, 0.1)
    print(f"{width} x {height}, {number} discs over {mask.mean():.0%} of it, {found.count} objects: parted in "
          f"{middle - start:.2f} s ({cpu_middle - cpu:.2f} s CPU), measured in {time.perf_counter() - middle:.2f} s "
          f"({time.process_time() - cpu_middle:.2f} s CPU)")  # fmt: skip


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
