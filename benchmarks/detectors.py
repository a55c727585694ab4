"""Seconds of a further micrograph by each detector: `python -m benchmarks.detectors [PICTURE.png]`, one thread.

The specimen is a height field of balls and cubes on a plane, without Blender. Plain micrographs, then such with
every artefact. CPU seconds, and wall seconds, which depend on what else the machine does. With the name of a
picture, draws what the detectors see.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from blender_gen.imaging import Target, make_target, schedule, take
from blender_gen.passes import Passes
from blender_gen.recipe.imaging import Imaging, Preparation

FIELD_UM, MATERIALS = 10.24, ("carbon", "SiO2", "Fe")
GREYS = {"dark": 0.08, "bright": 0.92}
BEAM = {"beam_kev": 15, "beam_current_na": 1, "dwell_us": 10, "collection": 0.2, "probe_um": 0.02}
DETECTORS = {
    "bse, composition": {"kind": "bse", **BEAM},
    "bse, topography": {"kind": "bse", "mode": "topography", "azimuth_deg": 135, **BEAM},
    "se": {"kind": "se", "one_sidedness": 0.2, "edge_gain": 1.0, "darkest_shadow": 0.2, **BEAM, "beam_kev": 5},
    "transmission, bright field": {"kind": "transmission", "speckle": 0.03, "speckle_um": 0.04, **BEAM,
                                   "beam_kev": 300},
    "transmission, dark field": {"kind": "transmission", "mode": "dark_field", "aperture_mrad": 40, **BEAM,
                                 "beam_kev": 300},
}  # fmt: skip
EVERYTHING = {
    "drift_px": 3, "drift_walk_px": 1, "vibration_px": 0.5, "line_jitter_px": 0.3, "charging": 0.3,
    "charging_halo": 0.3, "contamination": 0.2, "shading": 0.1, "vignette": 0.2, "banding": 0.01,
    "resampling": 1.5, "sharpening": 0.5, "jpeg_quality": 70,
}  # fmt: skip
LETTERING = {"databar": 1.0, "scale_bar": 1.0, "panel_letter": 1.0}


def scene(side: int, count: int = 40) -> Passes:
    """Balls and cubes of silica and iron, 0.2 to 0.8 µm in radius, apart from each other on carbon."""
    rng = np.random.default_rng(0)
    pixel = FIELD_UM / side
    row, column = np.mgrid[:side, :side]
    x, y = (column + 0.5) * pixel, (side - row - 0.5) * pixel
    height, instance = np.zeros((side, side), np.float32), np.zeros((side, side), np.uint32)
    path = np.zeros((side, side), np.float32)
    normal = np.zeros((side, side, 3), np.float32)
    normal[..., 2] = 1
    placed: list[tuple[float, float, float]] = []
    while len(placed) < count:
        radius, (cx, cy) = rng.uniform(0.2, 0.8) * (1 - len(placed) / count / 2), rng.uniform(0, FIELD_UM, 2)
        if any(np.hypot(cx - a, cy - b) < radius + r for a, b, r in placed):
            continue
        placed.append((cx, cy, radius))
        dx, dy, number = x - cx, y - cy, len(placed)
        if number % 3 == 0:
            a, half = rng.uniform(0, np.pi), 0.7 * radius
            u, v = dx * np.cos(a) + dy * np.sin(a), dy * np.cos(a) - dx * np.sin(a)
            inside = (np.abs(u) < half) & (np.abs(v) < half)
            height[inside], path[inside] = 2 * half, 2 * half
        else:
            z = np.sqrt(np.clip(radius**2 - dx**2 - dy**2, 0, None))
            inside = z > 0
            height[inside], path[inside] = (radius + z)[inside], 2 * z[inside]
            normal[inside] = (np.stack([dx, dy, z], axis=-1) / radius)[inside]
        instance[inside] = number
    phase = np.where(instance > 0, 1 + instance % 2, 0).astype(np.uint8)
    paths = {number: np.where(phase == number, path, 0).astype(np.float32) for number in (1, 2)}
    return Passes(phase, instance, height, normal, phase, paths)


def seconds(target: Target, imaging: Imaging) -> tuple[float, float]:
    """Mean CPU and wall seconds of a further micrograph."""
    rng = np.random.default_rng(0)
    laps = []
    for conditions in schedule(imaging, rng):
        start = time.process_time(), time.perf_counter()
        take(target, conditions, rng)
        laps.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    cpu, wall = np.mean(laps[1:], axis=0)
    return float(cpu), float(wall)


def main() -> None:
    """Time every detector at two sizes."""
    table = Table("size", "detector", "CPU, s", "wall, s", "CPU, s, every artefact", "wall, s, every artefact")
    for side in (512, 1024):
        target = make_target(scene(side), MATERIALS, np.ones((side, side), np.float32), FIELD_UM / side, Preparation(),
                             np.random.default_rng(0))  # fmt: skip
        for name, detector in DETECTORS.items():
            plain = {"detector": detector, "greys": GREYS, "images_per_specimen": 6}
            all_on = {**plain, "artefacts": EVERYTHING, "lettering": LETTERING}
            laps = [lap for how in (plain, all_on) for lap in seconds(target, Imaging.model_validate(how))]
            table.add_row(f"{side} x {side}", name, *(f"{lap:.3f}" for lap in laps))
    Console().print(table)
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]))


def draw(path: Path) -> None:
    """One specimen as every detector sees it, and a last time as a figure of a paper."""
    side = 512
    target = make_target(scene(side), MATERIALS, np.ones((side, side), np.float32), FIELD_UM / side, Preparation(),
                         np.random.default_rng(0))  # fmt: skip
    ways = [{"detector": detector, "greys": GREYS} for detector in DETECTORS.values()]
    ways.append({**ways[2], "artefacts": EVERYTHING, "lettering": {"scale_bar": 1.0, "panel_letter": 1.0}})
    rng = np.random.default_rng(5)
    images = [take(target, next(schedule(Imaging.model_validate(way), rng)), rng).image for way in ways]
    rows = [np.concatenate(images[i : i + 3], axis=1) for i in (0, 3)]
    Image.fromarray(np.concatenate(rows)).resize((1152, 768), Image.Resampling.LANCZOS).save(path)


if __name__ == "__main__":
    main()
