"""What a specimen is, from its geometry: thickness, area fractions, sizes, cracks.

A phase's volume percentage is that of the population which the section samples. Bodies that overlap or are
cut off by an interface are scaled as their areas are.

Thickness is measured along normals of the layer's midline, smoothed by a Gaussian whose sigma
is one mean layer thickness: the smoothing gives the direction, the interfaces themselves the
length. Only normals whose two ends lie in the frame count.
"""

from typing import Any

import numpy as np
from manifold3d import CrossSection
from scipy.ndimage import gaussian_filter1d

from blender_gen.phases import VOID
from blender_gen.section import Section
from blender_gen.slicing import perimeter_um
from blender_gen.specimen import Specimen, Stratum
from blender_gen.truth.regions import parts, sizes, volume_over_area

PROFILE_POINTS = 64  # at most, of a thickness profile
PRESENT_UM = 0.05  # a layer thinner than this on average, or than a finer pixel, is not there
STEPS = 400  # samples along a normal


def coating_truth(section: Section) -> dict[str, Any]:
    """Truth of a coating as it is stored with a sample; lengths in µm, areas in µm²."""
    specimen = section.specimen
    names = specimen.phase_names
    layers = {names[s.phase]: _layer(section, s) for s in specimen.strata[1:-1]}
    inclusions, cracks = {}, {}
    for phase, host in specimen.hosts.items():
        if section.layer_area_um2.get(host, 0.0) <= 0:
            continue
        record = _inclusion(section, phase, host)
        if phase in specimen.cracks:
            cracks[names[phase]] = _cracks(section, phase) | {"host": names[host], "area_um2": record["area_um2"],
                                                             "area_percent": record["area_percent"]}  # fmt: skip
        else:
            inclusions[names[phase]] = record
    return {
        "family": "coating",
        "tilt_deg": -specimen.view.tilt_deg,  # of the layers in the picture, anticlockwise
        "layers": {name: record | _parts(specimen, name, record) for name, record in layers.items()},
        "inclusions": inclusions,
        "cracks": cracks,
        "pore_lines": {name: _pore_line(specimen, line) for name, line in specimen.facts["pore_lines"].items()},
    }


def thickness_profile(specimen: Specimen, stratum: Stratum) -> np.ndarray:
    """Thickness (n,) in µm along the normals, one for each position `x_um` along the layer.

    NaN marks normals on which an end lies outside the frame.
    """
    x, outer, inner = specimen.x_um, stratum.outer_um[-1], stratum.inner_um[-1]
    middle, thickness = (outer + inner) / 2, outer - inner
    sigma = max(float(thickness.mean()) / (x[1] - x[0]), 1.0)
    smooth = gaussian_filter1d(middle, sigma, mode="nearest")
    slope = np.gradient(smooth, x)
    normal = np.stack([-slope, np.ones_like(slope)], axis=1) / np.hypot(1, slope)[:, None]
    reach = 3 * float(thickness.max()) + np.abs(middle - smooth).max()
    up = _crossing(x, smooth, normal, outer, reach, upwards=True)
    down = _crossing(x, smooth, normal, inner, reach, upwards=False)
    start = np.stack([x, smooth], axis=1)
    seen = specimen.view.contains(start + up[:, None] * normal) & specimen.view.contains(start + down[:, None] * normal)
    return np.where(seen, up - down, np.nan)


def _crossing(
    x: np.ndarray, start: np.ndarray, normal: np.ndarray, surface: np.ndarray, reach: float, upwards: bool
) -> np.ndarray:
    """Signed distance along each normal to the first crossing of a surface, searched from the layer's far side."""
    distance = np.linspace(-reach, reach, STEPS) * (1 if upwards else -1)
    px = x[:, None] + distance * normal[:, :1]
    py = start[:, None] + distance * normal[:, 1:]
    beyond = (py - np.interp(px, x, surface)) * (1 if upwards else -1)  # > 0 outside the layer
    inside = beyond <= 0
    # the midline may leave a very thin layer by less than its roughness: take the outermost change
    last_inside = STEPS - 1 - np.argmax(inside[:, ::-1], axis=1)
    first = np.clip(last_inside, 0, STEPS - 2)
    rows = np.arange(len(x))
    a, b = beyond[rows, first], beyond[rows, first + 1]
    share = np.where(b > a, -a / np.where(b > a, b - a, 1), 0.0)
    return distance[first] + np.clip(share, 0, 1) * (distance[1] - distance[0])


def _layer(section: Section, stratum: Stratum) -> dict[str, Any]:
    whole = thickness_profile(section.specimen, stratum)
    profile = whole[np.isfinite(whole)]
    area = section.layer_area_um2[stratum.phase]
    share = {"area_um2": area, "frame_percent": 100 * area / float(np.prod(section.view.size_um))}
    if profile.size == 0:
        return {"present": area > 0, "usable_length_um": 0.0} | share
    step = section.specimen.x_um[1] - section.specimen.x_um[0]
    mean = float(profile.mean())
    return {
        "present": mean > section.view.fine_um(PRESENT_UM),
        "mean_um": mean,
        "sd_um": float(profile.std()),
        "min_um": float(profile.min()),
        "max_um": float(profile.max()),
        "usable_length_um": float(profile.size * step),
        "profile": _profile(whole, step),
    } | share


def _parts(specimen: Specimen, name: str, layer: dict[str, Any]) -> dict[str, Any]:
    """The outward and the inward part of a layer that a pore line splits, each a share of its thickness.

    Empty without a line. Of several lines the first that the recipe names splits the layer.
    """
    lines = specimen.facts["pore_lines"]
    line = next((n for n, line in lines.items() if line["host"] == name and line["present"]), None)
    if line is None or "mean_um" not in layer:
        return {}
    outward = float(lines[line]["depth_fraction"])
    shares = {"outward": outward, "inward": 1 - outward}
    parts = {side: {"mean_um": s * layer["mean_um"], "sd_um": s * layer["sd_um"]} for side, s in shares.items()}
    return {"parts": {"line": line} | parts}


def _profile(thickness: np.ndarray, step_um: float) -> dict[str, Any]:
    """Thickness at even steps along the layer, left to right in the specimen's frame; None where a normal leaves it."""
    seen = np.flatnonzero(np.isfinite(thickness))
    thickness = thickness[seen[0] : seen[-1] + 1]
    every = int(np.ceil(thickness.size / PROFILE_POINTS))
    values = [round(float(t), 4) if np.isfinite(t) else None for t in thickness[::every]]
    return {"step_um": every * step_um, "thickness_um": values}


def _inclusion(section: Section, phase: int, host: int) -> dict[str, Any]:
    region = section.visible.get(phase, CrossSection())
    area = sum(part.area() for part in parts(region))
    percent = 100 * area / section.layer_area_um2[host]
    return {
        "host": section.specimen.phase_names[host],
        "void": section.specimen.materials[phase] == VOID,
        "area_um2": area,
        "area_percent": percent,
        "volume_percent": percent * volume_over_area(section, phase),
        **sizes(region, section.view),
    }


def _cracks(section: Section, phase: int) -> dict[str, Any]:
    """Length and mean opening of each connected crack.

    For a thin sheet the perimeter is twice the length, and the area is length times opening.
    """
    region = section.visible.get(phase, CrossSection())
    lengths, openings = [], []
    for part in parts(region):
        length = sum(map(perimeter_um, part.to_polygons())) / 2
        lengths.append(round(length, 4))
        openings.append(round(part.area() / length, 4) if length > 0 else 0.0)
    return {"count": len(lengths), "length_um": lengths, "opening_um": openings}


def _pore_line(specimen: Specimen, line: dict[str, Any]) -> dict[str, Any]:
    """Nominal distance from the layer's outer surface to the line's middle: its depth fraction times mean thickness.

    The bodies scatter about it by the half width.
    """
    if not line["present"]:
        return {"host": line["host"], "present": False, "depth_um": None}
    stratum = next(s for s in specimen.strata if specimen.phase_names[s.phase] == line["host"])
    profile = thickness_profile(specimen, stratum)
    profile = profile[np.isfinite(profile)]
    depth = float(line["depth_fraction"] * profile.mean()) if profile.size else None
    drawn = {key: line[key] for key in ("half_width_um", "coverage")}
    return {"host": line["host"], "present": True, "depth_um": depth, **drawn}
